"""The ASGI application: every API's routes, the `/~` prefix before them, and what an unknown path is told.

Knows which modules of this package have `routes()`. Must not know: any API's bytes, sockets.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

import streamnb.simulator
from streamnb.simulator import prefix
from streamnb.simulator.play import SETUP
from streamnb.simulator.scenarios import SCENARIOS


def apis() -> dict[str, ModuleType]:
    """Return every module of this package that serves an API, by name: the file is the registration."""
    names = sorted(info.name for info in pkgutil.iter_modules(streamnb.simulator.__path__))
    modules = {
        name: importlib.import_module(f"streamnb.simulator.{name}") for name in names if not name.startswith("_")
    }
    return {name: module for name, module in modules.items() if hasattr(module, "routes")}


def bases(origin: str) -> dict[str, str]:
    """Return API name -> base URL on a server at `origin`."""
    return {name: origin + module.BASE for name, module in apis().items()}


def create() -> ASGIApp:
    """Return the application."""
    routes = [route for module in apis().values() for route in module.routes()]
    known = [f"{method} {route.path}" for route in routes for method in sorted(route.methods - {"HEAD"})]

    async def unknown(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        message = f"the simulator has no {request.method} {request.url.path}; it has {'; '.join(known)}"
        return JSONResponse({"error": {"message": message, "type": "not_found"}, "routes": known}, status)

    async def home(request: Request) -> Response:
        return PlainTextResponse(_about(str(request.base_url).rstrip("/"), known))

    app = Starlette(routes=[Route("/", home), *routes], exception_handlers={404: unknown, 405: unknown})
    app.router.redirect_slashes = False  # a redirect would lose the prefix, and the real servers send none
    return _Prefixed(app)


def _about(origin: str, known: list[str]) -> str:
    lines = ["streamnb simulator: streaming chat APIs on loopback", "", "base URLs"]
    lines += [f"  {name}  {url}" for name, url in bases(origin).items()]
    lines += ["", "routes", *(f"  {route}" for route in known)]
    lines += ["", f"before any path: /~name=value,... with {', '.join(prefix.OPTIONS)}", "", "scenarios"]
    lines += [f"  {name}  {text}" for name, text in SCENARIOS.items()]
    return "\n".join(lines) + "\n"


class _Prefixed:
    """Takes the `/~` segment off the path and puts the `Setup` it means into the scope."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        segment, path = _split(scope["path"])
        try:
            setup = prefix.read(segment)
        except prefix.PrefixError as error:
            body = {"error": {"message": str(error), "type": "invalid_prefix", "param": error.option, "code": None}}
            await JSONResponse({**body, "known": list(prefix.OPTIONS)}, 400)(scope, receive, send)
            return
        await self._app({**scope, "path": path, SETUP: setup}, receive, send)


def _split(path: str) -> tuple[str, str]:
    if not path.startswith("/~"):
        return "", path
    segment, slash, rest = path[2:].partition("/")
    return segment, slash + rest or "/"
