"""The composition of the server: routes, middleware and life span, and the runner with the settings for uploads.

`server/serve.py` uses both functions, and so does any aiohttp application that embeds the server.
"""

from collections.abc import Sequence

from aiohttp import web

from onward.server.access.pace import Pace
from onward.server.config import Config
from onward.server.events.webhook import OnEvent
from onward.server.health import add_health
from onward.server.http.access import ACCESS, OWNERS, PACE, Access, allow_everything, owners_of
from onward.server.http.app_keys import CHECKS, CONFIG
from onward.server.http.cors import add_cors, parse_origins
from onward.server.http.fast_heads import BUILT, parts_of
from onward.server.http.listing import add_listing
from onward.server.http.problems import answering, mark
from onward.server.http.routes import add_routes, discovering
from onward.server.http.transport.server import Runner
from onward.server.lifespan import REQUESTS_END, Lifespan
from onward.server.page.page import add_page
from onward.server.uploads.checks import Check
from onward.server.watch.routes import add_watching

READ_BUFFER = 2**18  # bytes of a body that wait in aiohttp's stream; aiohttp may keep twice as many
LARGEST_LINE = 8190  # bytes of a request line, and of a header
MOST_HEADERS = 64
LINGERING = 1.0  # seconds for which the rest of a body is read after an early answer


def create_app(
    config: Config,
    access: Access = allow_everything,
    *,
    checks: Sequence[Check] = (),
    on_event: OnEvent | None = None,
) -> web.Application:
    """Build the application; it opens its storage when it starts, and closes it when it is cleaned up.

    It may be mounted in another application: `outer.add_subapp("/api", create_app(config))`. `access` is asked before
    every act on an upload, watching too, and refuses by raising; with `auth` in the configuration, the token of the
    request is verified first, and both must allow the act. `checks` are asked about each file before it is
    published, in this order (server/uploads/checks). `on_event` is called with every event (docs/integrating.md), and
    again later until it returns. Raises ConfigError, which is a ValueError, for an origin that can't be one. What can't
    be opened is raised by the start of the application.
    """
    app = web.Application(middlewares=[answering, discovering])
    app[CONFIG], app[ACCESS], app[CHECKS] = config, access, tuple(checks)
    app[OWNERS] = owners_of(app)
    app[PACE] = Pace()
    add_page(app)  # before the routes of uploads: with the base path `/` both are at `/`
    add_routes(app)
    add_watching(app)
    add_listing(app)
    add_health(app)
    app.on_response_prepare.append(mark)
    origins, further = parse_origins(config.cors_origins), config.cors_headers
    add_cors(app, origins, credentials=config.cors_credentials, further=further)
    Lifespan(on_event).add_to(app)
    app[BUILT] = parts_of(app)
    return app


def create_runner(app: web.Application, config: Config) -> web.AppRunner:
    """Build the runner of an application, with the settings that uploads need."""
    return Runner(
        app,
        header_wait=config.header_wait,
        connections=config.connections,
        access_log=None,
        auto_decompress=False,
        handler_cancellation=False,
        keepalive_timeout=config.keep_alive,
        lingering_time=LINGERING,
        max_field_size=LARGEST_LINE,
        max_headers=MOST_HEADERS,
        max_line_size=LARGEST_LINE,
        read_bufsize=READ_BUFFER,
        shutdown_timeout=config.drain * REQUESTS_END / 2,  # aiohttp waits for so long twice
    )
