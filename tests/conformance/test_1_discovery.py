"""Version, discovery and method override (checks 1 to 19)."""

from conformance import check
from http_connection import UNKNOWN, Headers, Tus
from server_process import Start

OPTIONS = ["--max-size=1000000"]
DATA = b"0123456789"
EXTENSIONS = (
    "creation,creation-with-upload,creation-defer-length,termination,expiration,checksum,concatenation,"
    "concatenation-unfinished"
)
OLD: Headers = {"Tus-Resumable": "0.2.2"}
NO_VERSION: Headers = {"Tus-Resumable": None}
NAMED: Headers = {"Tus-Resumable": "1.0.0"}  # which a PUT of the tests does not name by itself


def override(verb: str) -> Headers:
    return {"X-HTTP-Method-Override": verb}


@check(1, "MUST", "Every success names the version in Tus-Resumable")
def test_001_success_names_the_version(tus: Tus) -> None:
    path = tus.create(10)
    answers = [
        tus.post({"Upload-Length": "10"}),
        tus.patch(path, 0, DATA[:4]),
        tus.head(path),
        tus.patch(path, 4, DATA[4:]),
        tus.ask("GET", path),
        tus.ask("DELETE", path),
    ]
    assert [answer.status for answer in answers] == [201, 204, 200, 204, 200, 204]
    assert {answer["Tus-Resumable"] for answer in answers} == {"1.0.0"}


@check(2, "MUST", "Every refusal names the version in Tus-Resumable")
def test_002_refusals_name_the_version(tus: Tus) -> None:
    path, gone = tus.begun(DATA, 4), tus.create(10)
    assert tus.ask("DELETE", gone).status == 204
    part = tus.create(10, {"Upload-Concat": "partial"})
    answers = [
        tus.post({}),
        tus.ask("GET", part),
        tus.head(tus.files + "/" + UNKNOWN),
        tus.ask("GET", "/elsewhere"),
        tus.ask("PUT", path, NAMED),
        tus.patch(path, 3, b"x"),
        tus.head(gone),
        tus.head(path, NO_VERSION),
        tus.patch(path, 4, b"1234567"),
        tus.patch(path, 4, b"x", {"Content-Type": "text/plain"}),
        tus.patch(path, 4, b"x", {"Upload-Checksum": "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA="}),
    ]
    assert [answer.status for answer in answers] == [400, 403, 404, 404, 405, 409, 410, 412, 413, 415, 460]
    assert {answer["Tus-Resumable"] for answer in answers} == {"1.0.0"}


@check(3, "MUST", "PATCH in another version is 412 and tells the versions that are known")
def test_003_patch_in_another_version(tus: Tus) -> None:
    answer = tus.patch(tus.create(10), 0, DATA, OLD)
    assert (answer.status, answer["Tus-Version"]) == (412, "1.0.0")


@check(4, "MUST NOT", "PATCH in another version is not processed")
def test_004_patch_in_another_version_changes_nothing(tus: Tus) -> None:
    path = tus.begun(DATA, 4)
    assert tus.patch(path, 4, b"xxxxxx", OLD).status == 412
    tus.check_holds(path, DATA, 4)


@check(5, "MUST", "POST in another version is 412, tells the known ones, and creates nothing")
def test_005_post_in_another_version(start: Start) -> None:
    server = start()
    server.tus.create(10)
    answer = server.tus.post(OLD | {"Upload-Length": "10"}, DATA)
    assert (answer.status, answer["Tus-Version"]) == (412, "1.0.0")
    assert "Location" not in answer
    assert server.ids() == set()
    assert server.count_records() == 1


@check(6, "MUST", "DELETE in another version is 412, and the upload stays")
def test_006_delete_in_another_version(tus: Tus) -> None:
    path = tus.begun(DATA, 4)
    answer = tus.ask("DELETE", path, OLD)
    assert (answer.status, answer["Tus-Version"]) == (412, "1.0.0")
    tus.check_holds(path, DATA, 4)


@check(7, "MUST", "HEAD in another version is 412, tells the known ones, and no offset")
def test_007_head_in_another_version(tus: Tus) -> None:
    answer = tus.head(tus.create(10), OLD)
    assert (answer.status, answer["Tus-Version"]) == (412, "1.0.0")
    assert "Upload-Offset" not in answer


@check(8, "convention", "POST, PATCH, HEAD and DELETE without a version are 412, and change nothing")
def test_008_no_version(tus: Tus) -> None:
    path = tus.begun(DATA, 4)
    answers = [
        tus.post(NO_VERSION | {"Upload-Length": "10"}),
        tus.patch(path, 4, b"x", NO_VERSION),
        tus.head(path, NO_VERSION),
        tus.ask("DELETE", path, NO_VERSION),
    ]
    assert [(answer.status, answer["Tus-Version"]) for answer in answers] == [(412, "1.0.0")] * 4
    assert "Location" not in answers[0]
    tus.check_holds(path, DATA, 4)


@check(9, "MUST", "OPTIONS needs no version, and tells the known ones")
def test_009_options_without_a_version(tus: Tus) -> None:
    answer = tus.ask("OPTIONS", tus.files, NO_VERSION)
    assert (answer.status, answer["Tus-Version"]) == (204, "1.0.0")


@check(10, "MUST", "OPTIONS ignores the version of the request")
def test_010_options_in_another_version(tus: Tus) -> None:
    answer = tus.ask("OPTIONS", tus.files, {"Tus-Resumable": "9.9.9"})
    assert answer.told == tus.ask("OPTIONS", tus.files, NO_VERSION).told
    assert answer.status == 204


@check(11, "MUST", "Tus-Version is a comma-separated list, the preferred one first")
def test_011_versions(tus: Tus) -> None:
    assert tus.ask("OPTIONS", tus.files)["Tus-Version"].split(",") == ["1.0.0"]


@check(12, "MUST", "Tus-Extension lists what is offered; without any the header is absent")
def test_012_extensions(tus: Tus, start: Start) -> None:
    assert tus.ask("OPTIONS", tus.files)["Tus-Extension"] == EXTENSIONS
    for absent in ("termination", "checksum", "concatenation-unfinished"):
        told = start(f"--without={absent}").tus.ask("OPTIONS", "/files")["Tus-Extension"]
        assert told == ",".join(name for name in EXTENSIONS.split(",") if name != absent)
    bare = start(f"--without={EXTENSIONS}").tus.ask("OPTIONS", "/files")
    assert bare.status == 204
    assert "Tus-Extension" not in bare


@check(13, "SHOULD", "Tus-Max-Size tells the limit as an integer, and is absent without a limit")
def test_013_largest_size(tus: Tus, start: Start) -> None:
    assert tus.ask("OPTIONS", tus.files)["Tus-Max-Size"] == "1000000"
    assert "Tus-Max-Size" not in start().tus.ask("OPTIONS", "/files")


@check(14, "convention", "OPTIONS on an upload gives the same answer")
def test_014_options_on_an_upload(tus: Tus) -> None:
    assert tus.ask("OPTIONS", tus.create(10)).told == tus.ask("OPTIONS", tus.files).told


@check(15, "MUST", "POST with X-HTTP-Method-Override: PATCH is a PATCH")
def test_015_override_patch(tus: Tus) -> None:
    path = tus.begun(DATA, 4)
    answer = tus.ask("POST", path, tus.patching(4, override("PATCH")), DATA[4:8])
    assert (answer.status, answer["Upload-Offset"]) == (204, "8")
    tus.check_holds(path, DATA, 8)


@check(16, "MUST", "POST with X-HTTP-Method-Override: DELETE is a DELETE")
def test_016_override_delete(tus: Tus) -> None:
    path = tus.create(10)
    assert tus.ask("POST", path, override("DELETE")).status == 204
    assert tus.head(path).status == 410


@check(17, "MUST", "POST with X-HTTP-Method-Override: HEAD is a HEAD, without a body")
def test_017_override_head(tus: Tus) -> None:
    path = tus.begun(DATA, 4)
    answer = tus.ask("POST", path, override("HEAD"))
    assert (answer.status, answer.body) == (200, b"")
    assert (answer["Upload-Offset"], answer["Upload-Length"]) == ("4", "10")


@check(18, "MUST", "X-HTTP-Method-Override wins over any real method")
def test_018_override_on_other_methods(tus: Tus) -> None:
    path = tus.begun(DATA, 4)
    asked = tus.ask("GET", path, override("HEAD"))
    assert (asked.status, asked["Upload-Offset"], asked.body) == (200, "4", b"")
    assert tus.ask("DELETE", path, override("HEAD")).status == 200
    for at, method in enumerate(("PUT", "DELETE", "GET", "OPTIONS"), 4):
        stored = tus.ask(method, path, NAMED | tus.patching(at, override("PATCH")), DATA[at : at + 1])
        assert (method, stored.status, stored["Upload-Offset"]) == (method, 204, str(at + 1))
    assert tus.ask("PATCH", tus.files, override("POST") | {"Upload-Length": "1"}).status == 201
    tus.check_holds(path, DATA, 8)
    for method in ("PATCH", "HEAD", "GET"):
        ended = tus.create(10)
        assert tus.ask(method, ended, tus.patching(0, override("DELETE"))).status == 204
        assert tus.head(ended).status == 410


@check(19, "convention", "X-HTTP-Method-Override with an unknown verb is 405, and changes nothing")
def test_019_override_with_an_unknown_verb(tus: Tus) -> None:
    path = tus.begun(DATA, 4)
    for verb in ("FROB", "patch", "PUT", "Delete"):
        answer = tus.ask("POST", path, tus.patching(4, override(verb)), b"xxxxxx")
        assert (verb, answer.status) == (verb, 405)
        assert {"DELETE", "HEAD", "PATCH"} <= set(answer["Allow"].replace(" ", "").split(","))
    tus.check_holds(path, DATA, 4)
