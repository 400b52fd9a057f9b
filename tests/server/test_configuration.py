"""Options, variables and TOML keys: each is read alike, and a wrong one is one line that names it and what is right."""

import argparse
import math
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from client_process import run
from onward_process import ROOT
from server_process import Start
from webhook_receiver import SECRET

from onward import Options
from onward.client.cli import VALUES
from onward.protocol.quantities import MOST_BYTES
from onward.server.cli import CLIENT_OPTIONS
from onward.server.config import OPTIONS, Config, ConfigError
from onward.server.config_reader import add_options, foreign_variables, option_name, read
from onward.server.option_parser import Parser
from onward.storage.base import Durability

ENDS_WITHIN = 60
TABLE_ROW = re.compile(r"^\| (`--[a-z0-9-]+`(?:, `--[a-z0-9-]+`)*) ", re.M)


def onward(folder: Path, *words: str, environ: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Run a command that has to end by itself; gives its exit status and what it printed."""
    ended = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); from onward.server.cli import main; main()", *words],
        cwd=folder, env={"PATH": "/usr/bin:/bin", **(environ or {})},
        capture_output=True, text=True, timeout=ENDS_WITHIN, check=False,
    )  # fmt: skip
    return ended.returncode, ended.stdout, ended.stderr


def config_of(words: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> Config:
    """Read a configuration from words and variables."""
    parser = Parser()
    add_options(parser)
    return read(vars(parser.parse_args(words)), environ or {}).config


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("max_size", "5X", "is not a size: write a number of bytes, or a size such as 64KiB, 5G or 10GB"),
        ("max_size", -1, "is out of range"),
        ("max_size", 2**63, "is out of range"),
        ("reserve", None, "is not a size"),
        ("port", "abc", "is not a whole number"),
        ("port", 65536, "is out of range"),
        ("workers", "0", "is out of range"),
        ("expire_after", -5, "is out of range"),
        ("expire_after", 1e12, "is out of range: a time is 0 or more, and at most 100 years"),
        ("expire_after", math.inf, "is not a time"),
        ("forget_after", math.nan, "is not a time"),
        ("sweep_every", 0, "is out of range: a time is more than 0"),
        ("durability", "fast", "is not one of full, group, process, none"),
        ("durability", "proces", "did you mean process?"),
        ("log_level", "loud", "is not one of debug, info, warning, error"),
        ("page", "maybe", "is neither yes nor no"),
        ("without", "creaton", "did you mean creation?"),
        ("without", 5, "is not a list of words"),
        ("cors_origins", ["https://app.example/"], "is not an origin such as"),
        ("trusted_proxies", ["nobody"], "is not an address, nor a network such as"),
        ("host", [], "is not an address or a host name"),
        ("host", "a/b", "is not an address or a host name"),
        ("base_path", "files", "is not / or a path such as /files"),
        ("socket_mode", "0999", "is not a file mode"),
        ("socket_mode", 0o1777, "is not a file mode"),
        ("data", "", "is not a path"),
        ("data", "a\0b", "is not a path"),
        ("state", "mysql://host", "is not one of sqlite:, redis:"),
        ("state", "redis://host:port/0", "is not a URL such as redis://127.0.0.1:6379/0"),
    ],
)
def test_a_wrong_value_is_refused_in_code_and_on_the_command_line_with_one_sentence(
    name: str, value: Any, why: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(why)) as error:
        Config(**{name: value})
    assert str(error.value).startswith(f"{name}: ")
    if isinstance(value, str) and name != "page":
        with pytest.raises(ConfigError) as wrong:
            config_of([f"{option_name(name)}={value}"])
        assert str(wrong.value) == option_name(name) + str(error.value).removeprefix(name)


def test_code_may_write_values_as_the_command_line_does(tmp_path: Path) -> None:
    fields: dict[str, Any] = {
        "max_size": "5G", "expire_after": "7d", "body_idle": "500ms", "page": "off", "durability": "none",
        "socket_mode": "0660", "data": tmp_path, "port": "0",
    }  # fmt: skip
    config = Config(**fields)
    assert (config.max_size, config.expire_after, config.body_idle, config.page) == (5 * 2**30, 604800.0, 0.5, False)
    assert (config.durability, config.socket_mode, config.data, config.port) == (
        Durability.NONE, 0o660, str(tmp_path), 0,
    )  # fmt: skip


def test_lists_are_lists_in_code_and_in_toml_and_have_commas_elsewhere(tmp_path: Path) -> None:
    origins = ("https://a.example", "https://b.example")
    file = tmp_path / "onward.toml"
    file.write_text(f"cors-origins = {list(origins)}\nwithout = 'checksum, creation'\n")
    assert Config(cors_origins=list(origins)).cors_origins == origins
    assert Config(cors_origins=",".join(origins)).cors_origins == origins
    assert config_of([f"--cors-origins={origin}" for origin in origins]).cors_origins == origins
    assert config_of([f"--cors-origins={', '.join(origins)}"]).cors_origins == origins
    assert config_of(environ={"ONWARD_CORS_ORIGINS": ",".join(origins)}).cors_origins == origins
    from_file = config_of([f"--config={file}"])
    assert (from_file.cors_origins, from_file.without) == (origins, ("checksum", "creation"))


def test_the_command_line_comes_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "onward.toml"
    file.write_text('port = 1\nmax_open = 1\nmax-size = "1K"\npage = false\n')
    environ = {"ONWARD_CONFIG": str(file), "ONWARD_PORT": "2", "ONWARD_MAX_OPEN": "2", "ONWARD_DATA": ""}
    config = config_of(["--port=3", "--page"], environ)
    assert (config.port, config.max_open, config.max_size, config.page, config.data) == (3, 2, 1024, True, "./data")


def test_switches_have_two_options_and_eight_words() -> None:
    assert (config_of(["--no-page"]).page, config_of(["--page"], {"ONWARD_PAGE": "no"}).page) == (False, True)
    for words, on in ((("true", "YES", "on", "1"), True), (("false", "no", "Off", "0"), False)):
        assert {config_of(environ={"ONWARD_PAGE": word}).page for word in words} == {on}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("max_sise = 3", "FILE: unknown key max_sise; did you mean max_size?"),
        ("zzz = 3", "FILE: unknown key zzz"),
        ("[max_size]\nis = 3", "FILE: max_size: {'is': 3} is not a size: "),
        ('max-size = "5X"', "FILE: max-size: '5X' is not a size: "),
        ("port = 1\nmax_size = 3\nmax-size = 3", "FILE: max-size: it is there twice, also as max_size"),
        ("expire_after = inf", "FILE: expire_after: inf is not a time"),
        ("socket_mode = 660", "FILE: socket_mode: 660 is not a file mode: write octal digits in quotes"),
        ("port = 1\npage = \n", "FILE: it is not valid TOML: Invalid value (at line 2, "),
        ("workers = 2", "FILE: workers: 2 need a state that processes share"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_the_file_and_its_key(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "onward.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as wrong:
        config_of([f"--config={file}"])
    assert str(wrong.value).startswith(sentence.replace("FILE", str(file)))


@pytest.mark.parametrize(
    ("words", "environ", "sentence"),
    [
        (["serve", "--max-size=5X"], {}, "--max-size: '5X' is not a size: "),
        (["serve"], {"ONWARD_MAX_SIZE": "5X"}, "ONWARD_MAX_SIZE: '5X' is not a size: "),
        (["serve"], {"ONWARD_PROT": "1"}, "ONWARD_PROT: there is no such variable; did you mean ONWARD_PORT?"),
        (["watch", "http://127.0.0.1:1/"], {"ONWARD_RETRYFOR": "1"}, "ONWARD_RETRYFOR: there is no such variable; did"),
        (["serve", "--data="], {}, "--data: '' is not a path"),
        (["serve", "--data=file"], {}, "--data: 'file' can't be used as the data folder: it is not a folder"),
        (["serve", "--data=file/x"], {}, "--data: 'file/x' can't be used as the data folder: "),
        (["serve", "--unix-socket=no/socket"], {}, "--unix-socket: 'no/socket' can't be made: No such file or directory"),
        (["serve", f"--unix-socket={'x' * 200}"], {}, "--unix-socket: 'xxx"),
        (["serve", "--config=no.toml"], {}, "--config: 'no.toml' can't be read: No such file or directory"),
        (["serve"], {"ONWARD_CONFIG": "no.toml"}, "ONWARD_CONFIG: 'no.toml' can't be read: No such file or directory"),
        (["serve", "--host=192.0.2.1"], {}, "--host: '192.0.2.1' is not an address of this machine"),
        (["serve", "--host=127.0.0.1", "--host=192.0.2.1", "--port=0"], {}, "--host: '192.0.2.1' is not an address of"),
        (["sweep", "--data=mistyped"], {}, "--data: there is no folder 'mistyped'"),
    ],
)  # fmt: skip
def test_a_wrong_value_ends_a_command_with_one_line_and_status_2(
    tmp_path: Path, words: Sequence[str], environ: Mapping[str, str], sentence: str
) -> None:
    (tmp_path / "file").touch()
    code, out, err = onward(tmp_path, *words, environ=environ)
    assert (code, out) == (2, "")
    assert err.startswith(f"onward: {sentence}")
    assert err.count("\n") == 1
    assert not (tmp_path / "mistyped").exists()


@pytest.mark.parametrize(
    ("words", "usage", "sentence"),
    [
        (["serve", "--prot", "9"], "usage: onward serve [options]", "unknown option --prot; did you mean --port?"),
        (["serve", "--por=0"], "usage: onward serve [options]", "unknown option --por; did you mean --port?"),
        (["sweep", "--port=0"], "usage: onward sweep [options]", "unknown option --port"),
        (["serve", "8080"], "usage: onward serve [options]", "unknown argument 8080"),
        (["upload", "f", "--to=u", "--paralel=2"], "usage: onward upload ", "--paralel; did you mean --parallel?"),
        (["watch", "u", "--jso"], "usage: onward watch ", "unknown option --jso; did you mean --json?"),
        (["serv"], "usage: onward ", "unknown command serv; did you mean serve?"),
        (["--verson"], "usage: onward ", "unknown option --verson; did you mean --version?"),
    ],
)
def test_an_unknown_word_gets_the_usage_of_its_command_and_the_nearest_option(
    tmp_path: Path, words: Sequence[str], usage: str, sentence: str
) -> None:
    code, out, err = onward(tmp_path, *words)
    assert (code, out) == (2, "")
    assert err.startswith(usage)
    assert sentence in err


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_is_printed(tmp_path: Path, option: str) -> None:
    code, out, _ = onward(tmp_path, option)
    assert code == 0
    assert re.fullmatch(r"onward \d+\.\d+\.\d+\n", out)


def test_sweep_has_only_the_options_that_matter_to_it(tmp_path: Path) -> None:
    _, serve, _ = onward(tmp_path, "serve", "--help")
    _, sweep, _ = onward(tmp_path, "sweep", "--help")
    for option in ("--data", "--state", "--blobs", "--durability", "--expire-after"):
        assert f"  {option} " in serve
        assert f"  {option} " in sweep
    for option in ("--port", "--host", "--page", "--drain", "--cors-origins"):
        assert f"  {option}" in serve
        assert f"  {option}" not in sweep


def test_the_help_has_groups_and_defaults_that_people_can_read(tmp_path: Path) -> None:
    _, out, _ = onward(tmp_path, "serve", "--help")
    words = " ".join(out.split())
    for group in ("Operation", "Listening", "Storage", "Limits", "Time-outs", "Proxies and CORS", "Watching"):
        assert f"\n{group}:\n" in out
    for shown in ("--reserve BYTES", "default: 64MiB]", "--expire-after TIME", "default: 7d]", "--page, --no-page"):
        assert shown in words


def test_the_variables_of_an_orchestrator_are_ignored() -> None:
    foreign = {
        "ONWARD_PORT": "tcp://10.96.12.3:8080", "ONWARD_SERVICE_HOST": "10.96.12.3", "ONWARD_SERVICE_PORT": "8080",
        "ONWARD_SERVICE_PORT_HTTP": "8080", "ONWARD_PORT_8080_TCP": "tcp://10.96.12.3:8080",
        "ONWARD_PORT_8080_TCP_PROTO": "tcp", "ONWARD_PORT_8080_TCP_PORT": "8080", "ONWARD_PORT_8080_TCP_ADDR": "1",
        "ONWARD_REDIS_SERVICE_HOST": "10.96.12.4", "ONWARD_REDIS_PORT": "tcp://10.96.12.4:6379", "ONWARD_BIN": "x",
    }  # fmt: skip
    ours = {"ONWARD_MAX_SIZE": "5G", "ONWARD_HEADER": "A:b", "ONWARD_TOKEN": "t"}
    ignored = foreign_variables(CLIENT_OPTIONS, foreign | ours)
    assert set(ignored) == set(foreign)
    config = read({}, foreign | ours, ignored=ignored).config
    assert (config.port, config.max_size) == (8080, 5 * 2**30)


def test_the_variables_of_the_client_are_known_to_the_server() -> None:
    assert set(VALUES) <= set(CLIENT_OPTIONS)


def test_the_client_reads_sizes_and_times_as_the_server_does() -> None:
    options = Options(chunk_size="8M", retry_for="1h", stall_after="500ms")  # type: ignore[arg-type]
    assert (options.chunk_size, options.retry_for, options.stall_after) == (2**23, 3600.0, 0.5)
    for wrong in (
        {"chunk_size": "8X"},
        {"chunk_size": 0},
        {"parallel": 0},
        {"stall_after": 0},
        {"retry_for": math.inf},
    ):
        with pytest.raises(ValueError, match=f"^{next(iter(wrong))}: "):
            Options(**wrong)


@pytest.mark.parametrize("size", ["8MB", "8MiB", "8M"])
async def test_the_client_takes_units_on_the_command_line(tmp_path: Path, size: str) -> None:
    words = ["missing", "--to=http://127.0.0.1:1/", f"--chunk-size={size}", "--retry-for=1h", "--stall-after=1m"]
    ended = await run(tmp_path, "upload", *words)
    assert ended.code == 1
    assert "missing can't be read" in ended.err


def test_several_headers_of_the_environment_have_commas_between_them() -> None:
    given = "Cookie: a=1, b=2, Authorization: Basic x,Referer:http://a,https://b"
    assert VALUES["header"].read(given) == [
        ("Cookie", "a=1, b=2"), ("Authorization", "Basic x"), ("Referer", "http://a,https://b"),
    ]  # fmt: skip


def test_the_longest_times_and_the_largest_sizes_can_be_worked_with(start: Start) -> None:
    longest = [f"--{name}=36500d" for name in ("expire-after", "forget-after", "release-after", "quiet-after", "drain")]
    waits = [f"--{name}=36500d" for name in ("lease-wait", "body-idle", "header-wait", "keep-alive", "sweep-every")]
    tus = start(*longest, *waits, f"--max-size={MOST_BYTES}", f"--max-open={MOST_BYTES}", "--body-rate=0").tus
    path = tus.create(3)
    assert tus.head(path)["Upload-Expires"].split()[3].startswith("21")
    assert tus.patch(path, 0, b"abc").status == 204
    assert tus.ask("OPTIONS", tus.files)["Tus-Max-Size"] == str(MOST_BYTES)


def test_the_documentation_has_every_option() -> None:
    rows = TABLE_ROW.findall((ROOT / "docs" / "operations.md").read_text())
    documented = {name.strip("`") for row in rows for name in row.split(", ")}
    assert documented >= {option_name(name) for name in OPTIONS}
    assert documented <= {option_name(name) for name in (*OPTIONS, "config")}


def test_no_parser_takes_abbreviations() -> None:
    parser = Parser()
    assert not parser.allow_abbrev
    command = parser.add_subparsers().add_parser("command")
    assert isinstance(command, argparse.ArgumentParser)
    assert not command.allow_abbrev


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"webhook": "http://a.example/"}, "webhook: it needs --webhook-secret"),
        ({"webhook": "ftp://a.example/", "webhook_secret": SECRET}, "'ftp://a.example/' is not a URL"),
        ({"webhook": "http:///hook", "webhook_secret": SECRET}, "is not a URL"),
        ({"webhook": "http://a.example:99999/hook", "webhook_secret": SECRET}, "is not a URL"),
        ({"webhook": "http://a.example:x/hook", "webhook_secret": SECRET}, "is not a URL"),
        ({"webhook": "http://[::1/hook", "webhook_secret": SECRET}, "is not a URL"),
        ({"ask": "http://a.example:99999/", "webhook_secret": SECRET}, "is not a URL"),
        ({"webhook": "http://a/", "webhook_secret": SECRET, "webhook_events": ""}, "nothing would ever be sent"),
        ({"ask": "http://a/", "webhook_secret": SECRET, "ask_acts": ""}, "nothing would ever be sent"),
        ({"webhook": "http://u:pass@/", "webhook_secret": SECRET}, r"'http://u:\*\*\*@/' is not a URL"),
        ({"webhook_secret": "whsec_c2hvcnQ="}, "webhook_secret: the secret has 5 bytes"),
        ({"webhook_secret": SECRET, "webhook_secret_file": "f"}, "there is --webhook-secret as well"),
        ({"webhook_events": "upload.complete"}, "did you mean upload.completed?"),
    ],
)
def test_what_is_wrong_with_webhooks_is_said_without_secrets(values: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why) as refused:
        Config(**values)
    assert "c2hvcnQ" not in str(refused.value)
    assert "pass" not in str(refused.value)


def test_a_configuration_does_not_show_its_secret() -> None:
    config = Config(webhook=["https://a.example/"], webhook_secret=SECRET)
    assert config.webhook_secret == SECRET
    assert SECRET not in repr(config)
