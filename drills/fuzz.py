"""``make drill NAME=fuzz``: coverage-guided fuzzing of the guardrail's worker code with atheris.

The first corpus is made of the hostile inputs; what the fuzzer adds stays in the corpus folder and is
used again by the next run. An exception, a crash, too long a run or too much memory is a finding.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["imagery.guardrail", "imagery.bounded_picture", "PIL"]):
    from PIL import Image

    from imagery.guardrail.limits import PictureLimits
    from imagery.guardrail.subject import GuardrailSubject
    from imagery.guardrail.worker import run_checks
    from imagery.settings import Settings

from drills.hostile.inputs import inputs

_LONGEST_SEED = 64 * 1024
_TIME_LIMIT_S = 20
_MEMORY_MB = 2048
# the classifier takes any picture that decodes: it would only slow the search down
# and what a picture shows is not what is fuzzed
LIMITS = PictureLimits.of(Settings()).model_copy(
    update={"max_nsfw_score": 1, "min_sharpness": 0, "max_uniform_share": 1, "min_contrast": 0}
)


def examine(data: bytes) -> None:
    """One execution: the checks must not raise, and an admitted picture must come out clean."""
    subject = GuardrailSubject(data, None, LIMITS)
    results, code = run_checks(subject)
    if code is not None:
        assert any(result.code == code for result in results)
        return
    buffer = io.BytesIO()
    subject.picture.save(buffer, "PNG", compress_level=1)
    with Image.open(buffer) as clean:
        clean.load()
        assert clean.mode in {"RGB", "RGBA"}
        assert clean.info == {}


def seed(folder: Path) -> None:
    """Write the hostile inputs that are short enough to be mutated."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, each in enumerate(inputs()):
        data = each.make()
        if len(data) <= _LONGEST_SEED:
            (folder / f"seed-{number:04d}").write_bytes(data)


def main(arguments: list[str]) -> None:
    """Fuzz until the time is up or something is found; atheris ends the process."""
    parser = argparse.ArgumentParser(prog="python -m drills fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=600, help="how long (%(default)s)")
    parser.add_argument(
        "--corpus", type=Path, default=Path(".run/fuzz/corpus"), help="folder of the corpus (%(default)s)"
    )
    chosen, more = parser.parse_known_args(arguments)
    seed(chosen.corpus)
    options = [
        f"-max_total_time={chosen.seconds}",
        f"-timeout={_TIME_LIMIT_S}",
        f"-rss_limit_mb={_MEMORY_MB}",
        f"-max_len={_LONGEST_SEED}",
        f"-artifact_prefix={chosen.corpus.parent}/",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, *more, str(chosen.corpus)], examine)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
