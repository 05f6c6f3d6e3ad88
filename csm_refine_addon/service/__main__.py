"""``python -m csm_refine_addon.service``: run the local refine service."""

from __future__ import annotations

import sys

from .server import main

sys.exit(main())
