"""Write var/env with fresh secrets, once: `python -m mhealth.newenv [FILE]`. An existing file is left alone."""

import base64
import os
import secrets
import sys
from pathlib import Path


def write(path: Path) -> bool:
    """Create the file, readable by its owner only; return False if it was there."""
    (path.parent / "static").mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w") as file:
        file.write(f"SECRET_KEY={secrets.token_urlsafe(50)}\n")
        file.write(f"MASTER_KEY={base64.b64encode(secrets.token_bytes(32)).decode()}\n")
    return True


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent / "var" / "env")
    sys.stdout.write(f"{'wrote' if write(target) else 'kept'} {target}\n")
