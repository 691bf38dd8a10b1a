"""adamchainz's ec2-metadata: every attribute of it, in one JSON object."""

import json

from ec2_metadata import EC2Metadata, ec2_metadata

NAMES = sorted(name for name, value in vars(EC2Metadata).items() if not name.startswith("_") and hasattr(value, "__get__") and not callable(value))


def plain(value):
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(inner) for inner in value]
    if type(value).__name__ == "NetworkInterface":
        names = [n for n, v in vars(type(value)).items() if not n.startswith("_") and hasattr(v, "__get__") and not callable(v)]
        return {name: plain(getattr(value, name)) for name in sorted(names)}
    if hasattr(value, "items"):
        return {str(key): plain(inner) for key, inner in value.items()}
    return str(value)


print(json.dumps({name: plain(getattr(ec2_metadata, name)) for name in NAMES}))
