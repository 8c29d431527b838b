"""The assumption about BoTorch's insides that docs/adr/0004 records."""

import subprocess
import sys


def test_botorch_still_has_the_name_that_keeps_its_kernel_from_being_compiled():
    code = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "import botorch.acquisition.multi_objective.logei as logei\n"
        "assert logei._load_attempted is False\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
