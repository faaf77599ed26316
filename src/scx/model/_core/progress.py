"""The progress bar of training."""

import sys
from typing import Any

from tqdm.auto import tqdm

from scx._compat import progress_bar_class

ScviProgressBar: Any = progress_bar_class()


class ProgressBar(ScviProgressBar):
    """Shows the phase, epochs, the time left, and the losses of the last complete epoch."""

    def init_train_tqdm(self, trainer: Any) -> Any:
        """Return the bar, on standard output."""
        return tqdm(
            total=trainer.max_epochs,
            bar_format="{desc} {bar} epoch {n_fmt}/{total_fmt}, {remaining} left{postfix}",
            disable=self.is_disabled,
            file=sys.stdout,
        )

    def get_metrics(self, trainer: Any, pl_module: Any) -> dict[str, Any]:
        """Return the losses, without the version number of the logger."""
        metrics: dict[str, Any] = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Name the phase."""
        starts = pl_module.phase_starts().items()
        begun = [name for name, first in starts if first <= trainer.current_epoch + 1]
        self.main_progress_bar.set_description_str((begun or ["training"])[-1].capitalize(), refresh=False)
        self.main_progress_bar.set_postfix(self.get_metrics(trainer, pl_module))

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Move on. The losses of this epoch are not there yet."""
        self.main_progress_bar.update()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Leave the bar with the losses of the last epoch."""
        self.main_progress_bar.set_postfix(self.get_metrics(trainer, pl_module))
        super().on_train_end(trainer, pl_module)
