"""``python -m csm_refine_addon.service``: run the local refine service."""

from ..core import import_paths  # before all others

if __name__ == "__main__":
    import_paths.leave_current_folder_out()

import sys
from collections.abc import Sequence

from ..core.errors import CsmError
from ..core.processes import libraries
from ..core.stdio import write


def main(argv: Sequence[str] | None = None) -> int:
    """Run the service and return the exit code of :func:`.server.main`, or 7 if its libraries are missing."""
    try:
        libraries.add_to_path()
    except CsmError as error:
        write(sys.stderr, f"{error}\n")
        return error.exit_code
    from .server import main as run

    return run(argv)


if __name__ == "__main__":
    sys.exit(main())
