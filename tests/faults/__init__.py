"""What breaks, and what becomes of it."""

import pytest

pytest.register_assert_rewrite("tests.faults.table")
