"""The configuration of `oci`: its mistakes and its schema. No registry."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import jsonschema_rs
import pytest

from backends.documents import parse_document
from backends.mistakes import Mistake
from backends.oci import KIND
from backends.oci.backend import OciBackend

if TYPE_CHECKING:
    from pathlib import Path

REGISTRY = {"name": "main", "url": "https://registry.example.com", "repositories": ["team/*"]}
GOOD = {
    "registries": [REGISTRY],
    "images": [{"key": "digest", "repository": "team/a", "tag": "{branch}"}],
}


def changed(
    *, registry: dict[str, object] | None = None, image: dict[str, object] | None = None, **more: object
) -> str:
    """Return the good configuration with other values; None takes a key out."""
    document = json.loads(json.dumps(GOOD)) | more
    for kind, changes in (("registries", registry), ("images", image)):
        if changes is not None:
            one = document[kind][0] | changes
            document[kind][0] = {key: value for key, value in one.items() if value is not None}
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("{}", "missing required field `registries`", id="nothing"),
        pytest.param(changed(imagse=[]), "unknown field `imagse`", id="unknown"),
        pytest.param(changed(registries=[]), "registries: ", id="no registry"),
        pytest.param(changed(registries=[REGISTRY, REGISTRY]), 'registries[1].name: "main" is there twice', id="twice"),
        pytest.param(changed(registry={"url": "registry"}), "registries[0].url: must be http://HOST", id="no URL"),
        pytest.param(changed(registry={"url": "https://a/b"}), "registries[0].url: must have no path", id="a path"),
        pytest.param(changed(registry={"url": "https://u:s3cret@a"}), "come from files", id="credentials"),
        pytest.param(
            changed(registry={"url": "http://a", "ca_file": "text"}), "ca_file: is of no use", id="CA for HTTP"
        ),
        pytest.param(changed(registry={"ca_file": "text"}), "text: holds no certificates", id="no CA"),
        pytest.param(changed(registry={"repositories": []}), "registries[0].repositories: ", id="no repository"),
        pytest.param(
            changed(registry={"username_file": "text"}), "needs both username_file and password", id="user only"
        ),
        pytest.param(
            changed(registry={"username_file": "text", "password_file": "nope"}),
            "nope: cannot be read",
            id="no password",
        ),
        pytest.param(changed(registry={"token_servers": ["x"]}), "registries[0].token_servers[0]: must", id="tokens"),
        pytest.param(
            changed(registry={"blob_servers": ["http://a/b"]}), "blob_servers[0]: must have no path", id="blobs"
        ),
        pytest.param(changed(registry={"max_in_flight": 0}), "registries[0].max_in_flight: ", id="no turns"),
        pytest.param(
            changed(image={"registry": "x"}), "images[0].registry: must be one of main", id="another registry"
        ),
        pytest.param(changed(image={"tag": None}), "images[0]: needs one of tag, glob, semver and newest", id="no tag"),
        pytest.param(changed(image={"glob": "*"}), "images[0]: needs one of tag", id="two ways"),
        pytest.param(
            changed(image={"repository": "other/a"}), 'images[0].repository: "other/a" is not among', id="out"
        ),
        pytest.param(changed(image={"repository": "Team/a"}), 'images[0].repository: "Team/a" is no', id="upper case"),
        pytest.param(changed(image={"repository": "team/../a"}), "images[0].repository: ", id="a step up"),
        pytest.param(changed(image={"repository": "team/{"}), "images[0].repository: has a brace", id="a brace"),
        pytest.param(changed(image={"tag": "a/{b}"}), 'images[0].tag: "a/{b}" is no tag', id="no tag's name"),
        pytest.param(
            changed(image={"tag": None, "semver": "new"}), 'images[0].semver: "new" is no version', id="range"
        ),
        pytest.param(changed(image={"platform": "linux"}), "images[0].platform: ", id="half a platform"),
        pytest.param(changed(image={"tag_key": "digest"}), 'images[0].tag_key: "digest" is there twice', id="one key"),
        pytest.param(changed(echo=["digest"]), 'images[0].key: "digest" is there twice', id="an echo over it"),
        pytest.param(changed(missing="maybe"), "missing: ", id="missing what"),
    ],
)
def test_a_mistake_names_the_file_and_the_place_and_no_secret(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "text").write_text("s3cret")
    path = tmp_path / "oci.yaml"
    path.write_text(text)
    with pytest.raises(Mistake) as caught:
        OciBackend.open(path)
    assert message in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_right_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "oci.yaml"
    path.write_text(changed(application_sets=["fb-*"]))
    assert OciBackend.open(path).application_sets == ("fb-*",)


def test_the_schema_takes_what_is_right_and_refuses_mistakes(tmp_path: Path) -> None:
    validator = jsonschema_rs.validator_for(json.dumps(KIND.schema()))
    document = parse_document(changed(echo=["branch"]).encode(), tmp_path / "oci.yaml")
    assert validator.is_valid(document)
    assert not validator.is_valid({**document, "imagse": []})
    assert not validator.is_valid({**document, "images": []})
    assert not validator.is_valid({**document, "missing": "maybe"})
