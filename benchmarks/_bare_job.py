"""A student as a Ray job without selkd, as Ray's pages show it: `submit` from a laptop, `train` on the cluster.

`train` knows torch alone. Its network is `cnn`; rows and teacher lie beside it. It says when its first step begins.
"""

import sys
import time
from itertools import pairwise
from pathlib import Path

WIDTH, TEACHER_WIDTH, EPOCHS, BATCH = 8, 16, 2, 32
TEMPERATURE = 4.0


def submit(address: str, folder: str, moment: str) -> None:
    from ray.job_submission import JobSubmissionClient

    client = JobSubmissionClient(address)
    job = client.submit_job(
        entrypoint=f"python _bare_job.py train {moment}", runtime_env={"working_dir": folder}, entrypoint_num_cpus=1
    )
    while not (status := client.get_job_status(job)).is_terminal():
        time.sleep(0.2)
    if str(status) != "SUCCEEDED":
        sys.exit(client.get_job_logs(job))


def train(moment: str) -> None:
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Cnn(nn.Module):
        def __init__(self, width: int, outputs: int) -> None:
            super().__init__()
            blocks = []
            for (inputs, wide), halves in zip(pairwise([1, width, 2 * width, 2 * width]), (1, 0, 0), strict=True):
                layers = [nn.Conv2d(inputs, wide, 3, padding=1, bias=False), nn.BatchNorm2d(wide), nn.ReLU()]
                blocks.append(nn.Sequential(*layers, *([nn.MaxPool2d(2)] if halves else [])))
            self.blocks = nn.Sequential(*blocks)
            self.head = nn.Linear(2 * width, outputs)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.head(self.blocks(images).mean((2, 3)))

    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = torch.load("rows.pt", weights_only=True)
    student, teacher = Cnn(WIDTH, len(rows["selected"])), Cnn(TEACHER_WIDTH, rows["categories"])
    teacher.load_state_dict(rows["teacher"])
    teacher.eval()
    optimiser = torch.optim.SGD(student.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    begun = False
    for _ in range(EPOCHS):
        for index in torch.randperm(len(rows["images"])).split(BATCH):
            if not begun:
                begun = bool(Path(moment).write_text(str(time.time())))
            images, labels = rows["images"][index], rows["labels"][index]
            with torch.no_grad():
                wanted = teacher(images)[:, rows["selected"]]
            found = student(images)
            soft = F.kl_div(
                F.log_softmax(found / TEMPERATURE, 1), F.softmax(wanted / TEMPERATURE, 1), reduction="batchmean"
            )
            loss = F.cross_entropy(found, labels) + TEMPERATURE**2 * soft
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    torch.save(student.state_dict(), "student.pt")


if __name__ == "__main__":
    {"submit": submit, "train": train}[sys.argv[1]](*sys.argv[2:])
