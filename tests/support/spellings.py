"""Spellings of paths that somebody could mean credentials by, sent as they are."""

import itertools
import json
import urllib.parse

from .wire import Connection, request_bytes


def whole(word: str) -> str:
    return "".join(f"%{ord(letter):02x}" for letter in word)


def in_part(word: str) -> str:
    return f"%{ord(word[0]):02X}" + word[1:]


def twice(word: str) -> str:
    return whole(word).replace("%", "%25")


WRITINGS = {
    "plain": lambda word: word,
    "upper": str.upper,
    "title": str.title,
    "encoded": whole,
    "partly encoded": in_part,
    "encoded twice": twice,
    "encoded three times": lambda word: twice(word).replace("%", "%25"),
    "badly encoded": lambda word: "%" + word,
    "with parameters": lambda word: word + ";a=b",
    "with a dot": lambda word: word + ".",
    "with a blank": lambda word: word + "%20",
    "with a tab": lambda word: "%09" + word,
    "with NUL": lambda word: word + "%00",
    "with a comma": lambda word: word + ",",
    "overlong": lambda word: word[0] + "%c1%a1" + word[1:],
    "fullwidth": lambda word: urllib.parse.quote("".join(chr(ord(letter) + 0xFEE0) for letter in word)),
    "with a plus": lambda word: "+" + word,
}
SEPARATORS = ["/", "//", "/./", "/x/../", "/%2e/", "%2f", "%2F%2F", "/%2e%2e/latest/%2e/", "%5c", "/;/", "/..;/", "%252f"]
ENDINGS = ["", "/", "//", "/.", "?x=/", "#x", "/%00", ";x", "/..", "/../iam/security-credentials/"]


def spellings(role: str) -> list[str]:
    """Many spellings of the paths that credentials of a role, and those of the instance itself, lie at."""
    places = [
        ["latest", "meta-data", "iam"],
        ["latest", "meta-data", "iam", "info"],
        ["latest", "meta-data", "iam", "security-credentials"],
        ["latest", "meta-data", "iam", "security-credentials", role],
        ["2021-03-23", "meta-data", "iam", "security-credentials", role],
        ["latest", "meta-data", "iam", "security-credentials-extended", role],
        ["latest", "meta-data", "identity-credentials", "ec2", "security-credentials", "ec2-instance"],
    ]
    found: dict[str, None] = {}
    for names in places:
        for separator in SEPARATORS:
            found["/" + separator.join(names)] = None
            found[separator + separator.join(names) + separator] = None
        for writing in WRITINGS.values():
            for chosen in itertools.chain([range(len(names))], ([number] for number in range(len(names)))):
                written = [writing(name) if number in chosen else name for number, name in enumerate(names)]
                found["/" + "/".join(written)] = None
        for separator in ("/%252e/", "/x/%252e%252e/", "%252f", "/%25252e/"):
            for writing in (twice, in_part, lambda word: in_part(word).replace("%", "%25")):
                found["/" + separator.join(writing(name) for name in names)] = None
                found["/" + separator.join([*names[:2], *map(writing, names[2:])])] = None
        for ending in ENDINGS:
            found["/" + "/".join(names) + ending] = None
        path = "/" + "/".join(names)
        found.update(dict.fromkeys([path[1:], "/." + path, "/.." + path, "http://169.254.169.254" + path, path + "%"]))
        found.update(dict.fromkeys(["http://127.0.0.1" + path, "/x" + path, path.replace("/latest", ""), "*" + path]))
        found.update(dict.fromkeys(["/latest/user-data/../" + path[8:], "/latest/api/token/.." + path, "/\\" + path[1:]]))
    return list(found)


def secrets_in(document: str) -> list[str]:
    parsed = json.loads(document)
    return [parsed["AccessKeyId"], parsed["SecretAccessKey"], parsed["Token"]]


def ask_all(daemon, targets: list[str], method: str = "GET", headers=(), source: str | None = None) -> list[bytes]:
    """Everything that comes back, heads and all, for each target on the wire as it is."""
    answers = []
    for target in targets:
        with Connection(daemon.address, source=source) as connection:
            connection.send(request_bytes(method, target, [*headers, ("Connection", "close")]))
            answers.append(connection.rest())
    return answers
