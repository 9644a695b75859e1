"""a transfer in one call"""

from alembic import context, op

from engine.migrations.whole_transfer import PROCEDURE, takes_whole_transfers
from engine.shape import Shape

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    shape: Shape = context.config.attributes["shape"]
    if takes_whole_transfers(shape):
        # It locks no table: nobody waits for it, and it waits for nobody.
        op.execute(PROCEDURE)


def downgrade() -> None:
    op.execute("DROP PROCEDURE IF EXISTS whole_transfer")
