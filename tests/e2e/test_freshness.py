"""A backend whose answers are reused for less long than it says: the operators are told, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.e2e.support.rig import Rig

ANSWERS = {"application_sets": ["fb-*"], "answers": [{"parameters": [{"a": "x"}], "fresh_for_s": 300}]}


def configured(rig: Rig, cache_max: str) -> dict[str, Any]:
    return {"backends": [rig.backend("files", application_sets=["fb-*"])], "cache": {"max": cache_max}}


def test_the_notice_and_the_list_of_backends_say_what_limits_it_until_the_limit_is_raised(rig: Rig) -> None:
    rig.configure(**configured(rig, "20s"))
    hub = rig.hub()
    rig.static("files", ANSWERS, "--hub", hub.grpc_address, "--token-file", rig.folder / "tokens" / "files")
    hub.joined("files")
    admin = ("--admin", f"http://127.0.0.1:{hub.admin}")
    assert "fresh for" not in rig.command("backends", "list", *admin).err

    for name in ("fb-1", "fb-2"):
        assert hub.ask(name).sets == [{"a": "x"}]
    notice = hub.event("notice", kind="fresh_for_limited", level="info")
    assert notice["text"].startswith("fresh_for is 300 s, and cache.max of the route limits it to 20 s; ")
    assert hub.metric("appset_hub_notices_total", backend="files", kind="fresh_for_limited") == 1
    assert rig.command("backends", "list", *admin).err.strip() == (
        'note: backend "files" says that its answers are fresh for 300 s; cache.max of route "(claims)" limits this to '
        "20 s"
    )

    mark = hub.mark()
    rig.configure(**configured(rig, "10m"))
    hub.event("configuration_reloaded", after=mark)
    assert hub.ask("fb-3").status == 200
    assert hub.get("/api/backends").json[0]["freshness_limited"] is None
