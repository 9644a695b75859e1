"""Keys of requests that are not one database transaction, as those of batches are not.

Each of their rows is paid or taken back once whatever is asked how often; the key only repeats the
answer. So it is kept when the work is done, and who asks again before that has the rest done.
"""

import logging
from collections.abc import Callable
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from engine.api.context import Call
from engine.idempotency import KeyedRequest, fingerprint_of, keep
from engine.refusals import Refused
from engine.services import Services
from engine.unit_of_work import commit
from engine.wallets import Answer

LOG = logging.getLogger("engine")
STILL_GOING_ON = 202


def answered_once(
    services: Services, call: Call, payload: Any, work: Callable[[], Answer]
) -> Answer:
    """What `work` answers, or what it answered under this key.

    Neither refusals are kept nor what says that it goes on. Raises Refused: what `work` raises, and
    where the key was used with another payload.
    """
    if call.key is None:
        return work()
    route = call.route
    request = KeyedRequest(
        scope=services.key_rules.scope(call.caller.name, route),
        key=call.key,
        fingerprint=fingerprint_of([route, payload]),
    )
    with call.open_session() as session:
        known = services.keys.find(session, request)
        session.rollback()  # Nothing is claimed while the work goes on.
    if known:
        return known
    answer = work()
    if answer.status == STILL_GOING_ON:
        return answer
    try:
        return _kept(services, call, request, answer)
    except (SQLAlchemyError, RedisError, Refused) as error:
        # It is done and stays done: whoever repeats the key is told so without it.
        LOG.warning("the answer of %s was not kept: %s", route, type(error).__name__)
        return answer


def _kept(services: Services, call: Call, request: KeyedRequest, answer: Answer) -> Answer:
    with call.open_session() as session:
        if known := services.keys.find(session, request):
            session.rollback()
            return known  # Of a twin that was faster.
        if kept := services.keys.kept(request, answer):
            session.execute(keep(kept))
        commit(session)
    services.keys.after_commit(request, answer)
    return answer
