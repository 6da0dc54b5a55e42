"""The other side of the training bench: transformers' Trainer on a peft model, and a judge of both sides' adapters."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from lib.allocator import bound_kernel_caches, keep_freed_memory
from lib.train import render
from lib.train.render import Rendered
from tests.bench.finished import peak_bytes
from tests.bench.training_sides import Ran, Work, our_steps

if TYPE_CHECKING:
    import torch

IGNORED = -100  # the label that transformers leaves out of a loss


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """How the Trainer is set up; `micro` rows are one forward pass, accumulated up to the rows of a step.

    fp32: everything. autocast: fp32 weights, bf16 products. bf16: the frozen weights, too; adapters stay fp32.
    `keep_memory` gives it our settings of the C library's allocator and of the kernel caches, which transformers leaves
    alone. `sampling` is the Trainer's own, or "as_ours": every step has the rows that our step has.
    """

    precision: Literal["fp32", "autocast", "bf16"]
    attention: Literal["sdpa", "eager"]
    micro: int
    sampling: Literal["random", "group_by_length", "as_ours"] = "random"
    keep_memory: bool = True

    @property
    def name(self) -> str:
        """For tables."""
        memory = "" if self.keep_memory else ", memory as it comes"
        return f"{self.precision}, {self.attention}, {self.micro} rows a pass, {self.sampling}{memory}"


class Rival(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the Trainer."""

    work: Work
    choice: Choice


class Adapter(msgspec.Struct, frozen=True, kw_only=True):
    """An adapter folder and the rows to hold it against."""

    model: Path
    adapter: Path
    validation: Path
    rows: int
    threads: int


def trainer(rival: Rival) -> Ran:
    """transformers.Trainer, rows padded to the longest of their forward pass; the adapter lands in `out`/adapter."""
    import torch

    from lib.train.lora import adapter_tensors, save_adapter

    work = rival.work
    torch.set_num_threads(work.threads)
    if rival.choice.keep_memory:
        keep_freed_memory()
        bound_kernel_caches()
    model = _adapted(work, rival.choice)
    rows = render.load(work.train).head(work.rows)
    collate, clock = Padded(rows.eos_id), _clock()
    passes = our_passes(work, rows, rival.choice.micro) if rival.choice.sampling == "as_ours" else None
    accumulated = len(passes) // work.steps if passes else work.rows_a_step // rival.choice.micro
    _trainer_class(passes)(
        model=model, args=_arguments(work, rival.choice, accumulated), train_dataset=Examples(rows),
        data_collator=collate, callbacks=[clock], optimizers=_optimizer(model, work),
    ).train()  # fmt: skip
    save_adapter(adapter_tensors(model), model, work.out / "adapter")
    return Ran(
        tokens=collate.tokens, rows=collate.rows, steps=clock.steps, seconds=clock.seconds, peak_bytes=peak_bytes()
    )


def validation_loss(given: Adapter) -> float:
    """Nats per completion token of base and adapter, by transformers in fp32, one unpadded row at a time."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(given.threads)
    base = AutoModelForCausalLM.from_pretrained(given.model, dtype=torch.float32, local_files_only=True)
    model = PeftModel.from_pretrained(base, given.adapter).eval()
    examples = Examples(render.load(given.validation).head(given.rows))
    total, tokens = 0.0, 0
    with torch.no_grad():
        for number in range(len(examples)):
            ids, labels = (torch.tensor([values]) for values in examples[number].values())
            learnt = int((labels != IGNORED).sum())
            total += float(model(input_ids=ids, labels=labels).loss) * learnt
            tokens += learnt
    return total / tokens


class Examples:
    """Rendered rows as the Trainer wants them: input_ids, and labels with the prompt ignored."""

    def __init__(self, rows: Rendered) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> dict[str, list[int]]:
        ids, first = self._rows.row(number).tolist(), int(self._rows.completions[number])
        return {"input_ids": ids, "labels": [IGNORED] * first + ids[first:]}


class Padded:
    """Collator: right padding to the longest row. It counts the rows and real tokens it hands out."""

    def __init__(self, pad_id: int) -> None:
        self._pad, self.tokens, self.rows = pad_id, 0, 0

    def __call__(self, examples: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        import torch

        lengths = [len(example["input_ids"]) for example in examples]
        self.tokens, self.rows, width = self.tokens + sum(lengths), self.rows + len(lengths), max(lengths)
        batch = {
            name: torch.tensor([example[name] + [value] * (width - len(example[name])) for example in examples])
            for name, value in (("input_ids", self._pad), ("labels", IGNORED))
        }
        batch["attention_mask"] = torch.tensor([[1] * length + [0] * (width - length) for length in lengths])
        return batch


def _adapted(work: Work, choice: Choice) -> Any:
    """The base with fresh adapters: the same values that our side starts from."""
    import torch
    from transformers import AutoModelForCausalLM

    from lib.model import identity
    from lib.train.lora import attach

    dtype = torch.bfloat16 if choice.precision == "bf16" else torch.float32
    options = {"dtype": dtype, "attn_implementation": choice.attention, "local_files_only": True}
    model = AutoModelForCausalLM.from_pretrained(work.model, **options)
    model.config.use_cache = False
    return attach(model, work.settings.lora, seed=work.seed, base=identity.reference(work.model))


def our_passes(work: Work, rows: Rendered, micro: int) -> list[list[int]]:
    """The rows of our steps, each step in equally many forward passes of about `micro` rows."""
    steps = our_steps(work, rows)
    parts = min(work.rows_a_step // micro, *map(len, steps))
    return [part.tolist() for step in steps for part in np.array_split(step, parts)]


def _trainer_class(passes: list[list[int]] | None) -> Any:
    """transformers' Trainer; with `passes` its forward passes are those, in this order."""
    from torch.utils.data import DataLoader
    from transformers import Trainer

    class InOurOrder(Trainer):
        def get_train_dataloader(self) -> Any:
            return DataLoader(self.train_dataset, batch_sampler=passes, collate_fn=self.data_collator)

    return Trainer if passes is None else InOurOrder


def _arguments(work: Work, choice: Choice, accumulated: int) -> Any:
    from transformers import TrainingArguments

    if work.rows_a_step % choice.micro:
        raise ValueError(f"{choice.micro} rows a pass do not divide the {work.rows_a_step} of a step")
    own = {} if choice.sampling == "as_ours" else {"train_sampling_strategy": choice.sampling}
    return TrainingArguments(
        output_dir=str(work.out / "trainer"), use_cpu=True, bf16=choice.precision != "fp32", num_train_epochs=1,
        per_device_train_batch_size=choice.micro, gradient_accumulation_steps=accumulated,
        max_grad_norm=work.settings.clip, seed=work.seed, **own,
        remove_unused_columns=False, save_strategy="no", logging_strategy="no", report_to="none", disable_tqdm=True,
    )  # fmt: skip


def _optimizer(model: Any, work: Work) -> Any:
    """AdamW with our side's schedule, which transformers does not have: linear decay to a share."""
    import torch

    from lib.train.lora import trainable
    from lib.train.schedule import learning_rate

    settings = work.settings
    adam = torch.optim.AdamW(trainable(model).values(), lr=1.0, weight_decay=settings.weight_decay, fused=True)

    def rate(step: int) -> float:
        return learning_rate(
            step, total=work.steps, peak=settings.lr, warmup=settings.warmup_steps,
            final_share=settings.final_lr_share, kind=settings.schedule,
        )  # fmt: skip

    return adam, torch.optim.lr_scheduler.LambdaLR(adam, rate)


def _clock() -> Any:
    """Counts optimizer steps, and seconds from the beginning of training to the end of the last step."""
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        steps, seconds, started = 0, 0.0, 0.0

        def on_train_begin(self, *about: Any, **more: Any) -> None:
            self.started = time.monotonic()

        def on_step_end(self, *about: Any, **more: Any) -> None:
            self.steps, self.seconds = self.steps + 1, time.monotonic() - self.started

    return Clock()
