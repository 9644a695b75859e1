"""Routes about users and tokens."""

from typing import Any

from fastapi import APIRouter

from engine.accounts import UserView, list_users, log_in, sign_up, user_by_id
from engine.api import views
from engine.api.bodies import LoginBody, PinBody, UserBody
from engine.api.context import Caller, CallerRoute, Limit, PinHeader, Sessions, UserPath
from engine.api.views import shown
from engine.database import OpenSession
from engine.refusals import UNAUTHENTICATED, Refused
from engine.services import Services


def user_routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["users"])

    @router.post("/users", status_code=201, responses=shown(201, views.UserView))
    def create(body: UserBody, open_session: Sessions) -> dict[str, Any]:
        """Sign up."""
        return user_view(signed_up(services, open_session, body))

    @router.post("/auth/token", responses=shown(200, views.TokenView))
    def create_token(body: LoginBody, open_session: Sessions) -> dict[str, Any]:
        """Log in."""
        services.rate_limits.admit_guess(body.username)
        with open_session() as session:
            user = log_in(
                session, services.passwords, username=body.username, password=body.password
            )
        return {
            "access_token": services.tokens.issue(user.id, user.role),
            "token_type": "Bearer",
            "expires_in": services.settings.jwt_lifetime_s,
        }

    router.include_router(_reading_routes(services))
    return router


def _reading_routes(services: Services) -> APIRouter:
    router = APIRouter(route_class=CallerRoute)

    @router.get("/users", responses=shown(200, views.UsersView))
    def list_all(caller: Caller, open_session: Sessions, limit: Limit = 100) -> dict[str, Any]:
        """All users; takes the operator's role where roles are asked for."""
        services.permissions.to_operate(caller)
        with open_session() as session:
            return {"users": [user_view(user) for user in list_users(session, limit=limit)]}

    @router.get("/users/me", responses=shown(200, views.UserView))
    def read_me(caller: Caller, open_session: Sessions) -> dict[str, Any]:
        """Whoever the token names."""
        if caller.user_id is None:
            raise Refused(UNAUTHENTICATED, "this build asks nobody for a name")
        with open_session() as session:
            return user_view(user_by_id(session, caller.user_id))

    @router.post("/auth/logout", status_code=204)
    def log_out(caller: Caller) -> None:
        """From now on the token is worthless, wherever it was copied to."""
        services.revocations.revoke(caller)

    @router.put("/users/me/pin", status_code=204)
    def change_pin(
        body: PinBody, caller: Caller, open_session: Sessions, pin: PinHeader = None
    ) -> None:
        """Set the PIN; whoever has one has to send it along."""
        if caller.user_id is None:
            raise Refused(UNAUTHENTICATED, "this build asks nobody for a name")
        new, current = body.pin.get_secret_value(), pin or body.current_pin
        services.pins.change(
            open_session,
            caller.user_id,
            new=new,
            current=current.get_secret_value() if current else None,
        )

    @router.get("/users/{user_id}", responses=shown(200, views.UserView))
    def read_one(user_id: UserPath, caller: Caller, open_session: Sessions) -> dict[str, Any]:
        services.permissions.to_see(caller, user_id)
        with open_session() as session:
            return user_view(user_by_id(session, user_id))

    return router


def signed_up(services: Services, open_session: OpenSession, body: UserBody) -> UserView:
    def once() -> UserView:
        with open_session() as session:
            return sign_up(
                session,
                services.passwords,
                username=body.username,
                email=body.email,
                password=body.password,
                look_first=services.look_first,
            )

    return services.retry.run(once)


def user_view(user: UserView) -> dict[str, Any]:
    return {"id": user.id, "username": user.username, "email": user.email, "role": user.role}
