"""The parts of a message's content in either interface: validation, and their Responses form.

Knows chat completions' names (text, image_url, file) and those of the Responses interface (input_text,
input_image, input_file). Parts of other types are stored unchanged. Calls no provider and fetches nothing.
"""

from typing import Any

from server.core.accepted import TEXT_PARTS
from server.core.errors import InvalidArgument

Part = dict[str, Any]

_INPUT_NAMES = {
    "text": "input_text",
    "output_text": "input_text",
    "image_url": "input_image",
    "file": "input_file",
}


def check_part(part: Any, field: str) -> None:
    """Raise InvalidArgument naming the member that is missing or wrong."""
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        raise InvalidArgument.of(field, "must be an object with a type, such as text, image_url or file")
    kind = part["type"]
    if kind in TEXT_PARTS and not isinstance(part.get("text"), str):
        raise InvalidArgument.of(f"{field}.text", "must be a string")
    if kind in ("image_url", "input_image"):
        _check_image(part, field)
    if kind in ("file", "input_file"):
        _check_file(part, field)


def as_input(part: Part) -> Part:
    """Return the part in the form of the Responses interface."""
    kind = part.get("type", "text")
    named = {**part, "type": _INPUT_NAMES.get(kind, kind)}
    if kind == "image_url" and isinstance(part.get("image_url"), dict):
        image = part["image_url"]
        return {**named, "image_url": image.get("url"), "detail": image.get("detail", "auto")}
    if kind == "file":
        file: dict[str, Any] = part["file"]
        return {name: value for name, value in named.items() if name != "file"} | file
    return named


def _check_image(part: Part, field: str) -> None:
    image = part.get("image_url")
    at = f"{field}.image_url"
    if image is None and part["type"] == "input_image" and isinstance(part.get("file_id"), str):
        return
    if isinstance(image, dict):
        image, at = image.get("url"), f"{at}.url"
    if not isinstance(image, str) or not image:
        raise InvalidArgument.of(at, "must be the URL of an image, or a data URL with it")


def _check_file(part: Part, field: str) -> None:
    file, at = (part.get("file"), f"{field}.file") if part["type"] == "file" else (part, field)
    names = ("file_data", "file_id") if part["type"] == "file" else ("file_data", "file_id", "file_url")
    if not isinstance(file, dict) or not any(
        isinstance(file.get(name), str) and file[name] for name in names
    ):
        raise InvalidArgument.of(at, f"must have one of {', '.join(names)}")
    if not isinstance(file.get("filename", ""), str):
        raise InvalidArgument.of(f"{at}.filename", "must be a string")
