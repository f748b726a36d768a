"""The student as MLflow runs it. MLflow executes this file when it loads the model: import it for nothing else."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from selkd.models.deploy import Deployed
from selkd.tracking.student import answers, load_student


class ServedStudent(PythonModel):
    """Images [B, C, H, W] in [0, 1] to a row an image: category, rejected, and the probability of every output."""

    def load_context(self, context: Any) -> None:
        classifier, self.card = load_student(Path(context.artifacts["student"]))
        self.model = Deployed(classifier, len(self.card.categories), self.card.threshold).eval()

    @torch.no_grad()
    def predict(self, context: Any, model_input: np.ndarray, params: dict[str, Any] | None = None) -> Any:
        return answers(self.card, *self.model(torch.as_tensor(model_input, dtype=torch.float32)))


set_model(ServedStudent())
