"""Checks, on this machine, that RNNs read padded clips right; status 1 if one does not."""

from absl import logging

from lrcn.common.programs.program import run_program


def main() -> int:
    from lrcn.common.programs.devices import describe_device
    from train_head.studies.rnn_check import describe_versions, iter_checks

    print(f"{describe_device()}, {describe_versions()}")
    print(f"{'padded against alone, largest difference':42} {'outputs':>10} {'gradients':>10}")
    num_wrong = 0
    for check in iter_checks():
        num_wrong += not check.is_right
        print(
            f"{check.name:42} {check.output_difference:10.1e} {check.gradient_difference:10.1e}  "
            f"{'ok' if check.is_right else 'WRONG'}",
            flush=True,
        )
    if num_wrong:
        logging.error(
            "%d checks are WRONG: --sequence=ragged must not be used with these RNNs here. "
            "--sequence=fixed, the default, has no padding and no mask; else update TensorFlow.",
            num_wrong,
        )
    return 1 if num_wrong else 0


if __name__ == "__main__":
    run_program(main)
