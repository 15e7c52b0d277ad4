"""What a test expects to be refused."""

import re

import pytest


def refusal(text, error=ValueError):
    return pytest.raises(error, match=re.escape(text))
