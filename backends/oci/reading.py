"""The way of the configuration from its file to checked values."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from backends.mistakes import Mistake
from backends.oci.config import ImageConfig, OciConfig, RegistryConfig
from backends.oci.names import Template, is_allowed, is_repository, is_tag
from backends.oci.settings import Choice, Image, RegistrySettings, Settings
from backends.oci.versions import Range
from backends.peers import load, origin_of, read_secret, trust

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from backends.oci.settings import Origin


def read(path: Path) -> Settings:
    """Read the configuration at `path`; credentials are looked at, too, so that a wrong file is found at the start.

    Raises:
        Mistake: something is wrong with one of the files.
    """
    config = load(path, OciConfig)
    registries: dict[str, RegistrySettings] = {}
    for index, registry in enumerate(config.registries):
        place = f"registries[{index}]"
        if registry.name in registries:
            raise Mistake(path, f'{place}.name: "{registry.name}" is there twice')
        registries[registry.name] = _registry(registry, path, place)
    images = tuple(_image(image, registries, path, f"images[{index}]") for index, image in enumerate(config.images))
    _check_keys(config, path)
    return Settings(
        application_sets=config.application_sets,
        unique_by=config.unique_by,
        registries=registries,
        images=images,
        echo=config.echo,
        none_if_missing=config.missing == "none",
        fresh_for_s=config.fresh_for_s,
    )


def _registry(config: RegistryConfig, path: Path, place: str) -> RegistrySettings:
    if (config.username_file is None) != (config.password_file is None):
        raise Mistake(path, f"{place}: needs both username_file and password_file, or none")
    files = [path.parent / name if name is not None else None for name in (config.username_file, config.password_file)]
    for file in filter(None, files):
        read_secret(file)
    origin = _origin(config.url, path, f"{place}.url")
    if config.ca_file is not None and origin[0] == "http":
        raise Mistake(path, f"{place}.ca_file: is of no use with http; say https in url")
    return RegistrySettings(
        name=config.name,
        url=config.url.rstrip("/"),
        repositories=config.repositories,
        username_file=files[0],
        password_file=files[1],
        tls=trust(path.parent / config.ca_file if config.ca_file is not None else None),
        token_origins=frozenset({origin, *_origins(config.token_servers, path, f"{place}.token_servers")}),
        blob_origins=frozenset({origin, *_origins(config.blob_servers, path, f"{place}.blob_servers")}),
        timeout_s=config.timeout_s,
        max_in_flight=config.max_in_flight,
    )


def _origins(urls: Iterable[str], path: Path, place: str) -> list[Origin]:
    return [_origin(url, path, f"{place}[{index}]") for index, url in enumerate(urls)]


def _origin(url: str, path: Path, place: str) -> Origin:
    try:
        origin = origin_of(url)
    except ValueError as error:
        raise Mistake(path, f"{place}: {error}") from error
    if urlsplit(url).path not in {"", "/"}:
        raise Mistake(path, f"{place}: must have no path; it names a host")
    return origin


def _image(config: ImageConfig, registries: dict[str, RegistrySettings], path: Path, place: str) -> Image:
    name = config.registry
    if name is None and len(registries) == 1:
        name = next(iter(registries))
    if name is None or name not in registries:
        raise Mistake(path, f"{place}.registry: must be one of {', '.join(registries)}")
    chosen = [(choice, text) for choice in Choice if (text := getattr(config, choice.value)) is not None]
    if len(chosen) != 1:
        raise Mistake(path, f"{place}: needs one of tag, glob, semver and newest")
    choice, text = chosen[0]
    return Image(
        key=config.key,
        tag_key=config.tag_key,
        registry=name,
        repository=_repository(config.repository, registries[name], path, f"{place}.repository"),
        choice=choice,
        wanted=_wanted(choice, text, path, f"{place}.{choice.value}"),
        platform=config.platform,
        most_candidates=config.most_candidates,
    )


def _repository(text: str, registry: RegistrySettings, path: Path, place: str) -> Template:
    template = _template(text, path, place)
    if not is_repository(template.fill_sample()):
        raise Mistake(path, f'{place}: "{text}" is no repository\'s name')
    if template.is_fixed and not is_allowed(text, registry.repositories):
        raise Mistake(path, f'{place}: "{text}" is not among the repositories of registry "{registry.name}"')
    return template


def _wanted(choice: Choice, text: str, path: Path, place: str) -> Template:
    template = _template(text, path, place)
    if choice is Choice.TAG and not is_tag(template.fill_sample()):
        raise Mistake(path, f'{place}: "{text}" is no tag')
    if choice is Choice.SEMVER:
        try:
            Range.parse(template.fill_sample())
        except ValueError as error:
            raise Mistake(path, f"{place}: {error}") from error
    return template


def _template(text: str, path: Path, place: str) -> Template:
    try:
        return Template.parse(text)
    except ValueError as error:
        raise Mistake(path, f"{place}: {error}") from error


def _check_keys(config: OciConfig, path: Path) -> None:
    taken = list(config.echo)
    for index, image in enumerate(config.images):
        for name, key in (("key", image.key), ("tag_key", image.tag_key)):
            if key in taken:
                raise Mistake(path, f'images[{index}].{name}: "{key}" is there twice')
            if key is not None:
                taken.append(key)
