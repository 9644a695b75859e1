"""stub"""

from reports.load import LoadDocument


def render_load_html(document: LoadDocument) -> str:
    return document.conclusion
