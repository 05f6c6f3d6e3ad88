"""``python -m csm_refine_addon.service``: run the local refine service."""

from ..core import import_paths  # before all others

import_paths.leave_current_folder_out()

import sys  # noqa: E402

from .server import main  # noqa: E402

sys.exit(main())
