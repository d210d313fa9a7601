"""From the shipped language model to an assistant, and what a leash is for: trainings of chapter 9.

``assistant`` is the instruction-tuned model. ``unleashed`` is that model after policy-gradient
training against a learned reward with nothing to hold it back; its card holds the course of that
run and of others, with leashes and by DPO, over several seeds.
"""

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from types import MappingProxyType

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from icl_lib import optim
from icl_lib.finetune.chat import ChatTemplate, Turn, assistant_loss, collate
from icl_lib.finetune.dpo import DPO, sequence_log_probs
from icl_lib.finetune.policy import PolicyGradient, sample_answers, token_kl
from icl_lib.finetune.preferences import Pairs, judge
from icl_lib.finetune.reward import RewardModel, pairwise_loss, rewards
from icl_lib.models.gpt import GPT
from icl_lib.recipes import cards, language
from icl_lib.tasks.instructions import (
    TASTE,
    Instruction,
    demonstrations,
    every_instruction,
    fulfils,
    parts,
)

LONGEST = 40
"""Tokens that an answer may have."""
UNSEEN = ("sea", "polite")
"""Topic and register that no demonstration combines, so that following can be told from memory."""


@dataclass(frozen=True)
class Desk:
    """Where instructions become tokens and answers become numbers.

    Attributes
    ----------
    template
        The chat template, with the tokenizer of the model.
    """

    template: ChatTemplate

    @cached_property
    def seen(self) -> list[Instruction]:
        """The instructions that demonstrations may show."""
        return [a for a in every_instruction() if (a.topic, a.register) != UNSEEN]

    @cached_property
    def unseen(self) -> list[Instruction]:
        """The others."""
        return [a for a in every_instruction() if (a.topic, a.register) == UNSEEN]

    @cached_property
    def prompts(self) -> list[tuple[Instruction, Int[Tensor, "_"]]]:
        """The instructions of the judge, who reads English only, with their prompts' tokens."""
        asked = [a for a in every_instruction() if a.language == "en"]
        return [(a, self.template.prompt(a.question)) for a in asked]

    @cached_property
    def _by_prompt(self) -> dict[tuple[int, ...], Instruction]:
        every = every_instruction()
        return {tuple(self.template.prompt(a.question).tolist()): a for a in every}

    def rows(
        self, count: int, *, seed: int, asked: Sequence[Instruction] | None = None
    ) -> tuple[Int[Tensor, "N T"], Bool[Tensor, "N T"]]:
        """Return demonstrations as token rows, with the assistant's tokens marked."""
        shown = demonstrations(self.seen if asked is None else asked, count, seed=seed)
        made = [self.template.conversation([Turn(*both)]) for both in shown]
        return collate(made, self.template.end)

    def ask(
        self, model: GPT, asked: Sequence[Instruction], *, seed: int = 0, temperature: float = 1.0
    ) -> tuple[Int[Tensor, "N T"], Bool[Tensor, "N T"]]:
        """Let a model answer each instruction once."""
        prompts = [self.template.prompt(a.question) for a in asked]
        g = torch.Generator().manual_seed(seed)
        end = self.template.end
        return sample_answers(model, prompts, LONGEST, end, generator=g, temperature=temperature)

    def follows(
        self, model: GPT, asked: Sequence[Instruction], *, seed: int = 0
    ) -> dict[str, float]:
        """Return the share of answers that have what was asked for, by what it was."""
        texts = self.template.answers(*self.ask(model, asked, seed=seed))
        kept = [fulfils(a, text) for a, text in zip(asked, texts, strict=True)]
        return {name: sum(k[name] for k in kept) / len(kept) for name in kept[0]}

    def parts(
        self, tokens: Int[Tensor, "N T"], answer: Bool[Tensor, "N T"]
    ) -> Float[Tensor, "N parts"]:
        """Return what the judge counts in each answer, one column for each entry of ``TASTE``.

        Raises
        ------
        ValueError
            If a row does not begin with the prompt of an instruction.
        """
        texts = self.template.answers(tokens, answer)
        ended = ((tokens == self.template.end) & answer).any(dim=1).tolist()
        begins = answer.long().argmax(dim=1).tolist()
        rows = []
        for row, start, text, finished in zip(tokens.tolist(), begins, texts, ended, strict=True):
            asked = self._by_prompt.get(tuple(row[:start]))
            if asked is None:
                said = self.template.tokenizer.decode(torch.tensor(row[:start]), errors="replace")
                raise ValueError(f"the judge knows every_instruction() only; got prompt {said!r}")
            rows.append(list(parts(asked, text, finished=finished).values()))
        return torch.tensor(rows, dtype=torch.float32)

    def truth(self, tokens: Int[Tensor, "N T"], answer: Bool[Tensor, "N T"]) -> Float[Tensor, "N"]:
        """Return the true reward of answers: what their words are worth to the judge.

        The same as :func:`icl_lib.tasks.instructions.worth` of every text. Errors as in
        :meth:`parts`.
        """
        return self.parts(tokens, answer) @ torch.tensor(list(TASTE.values()))

    def pairs(self, model: GPT, count: int, *, temperature: float, seed: int) -> Pairs:
        """Let the model answer ``count`` prompts twice each and the judge compare the two."""
        g = torch.Generator().manual_seed(seed)
        which = torch.randint(len(self.prompts), (count,), generator=g).repeat_interleave(2)
        prompts = [self.prompts[i][1] for i in which.tolist()]
        tokens, answer = sample_answers(model, prompts, LONGEST, self.template.end, generator=g)
        values = self.truth(tokens, answer)
        wins = judge(values[::2], values[1::2], temperature=temperature, generator=g)
        return Pairs(tokens, answer, values, wins, temperature)


@dataclass(frozen=True)
class AssistantRecipe:
    """Instruction fine-tuning of the shipped language model.

    Attributes
    ----------
    name, seed
        As every recipe has them.
    steps, batch, step_size, examples
        AdamW without weight decay and a cosine down to 0, on so many demonstrations.
    """

    name: str = "assistant"
    seed: int = 0
    steps: int = 300
    batch: int = 24
    step_size: float = 1.5e-3
    examples: int = 3000

    data = "instructions in two languages, each answered by a story of our own; no sea, politely"

    def untrained(self) -> GPT:
        """Return the language model that knows no instruction yet."""
        return copy.deepcopy(language.shipped("stories").model)

    def train(self, model: GPT, *, steps: int | None = None, callbacks: Sequence = ()) -> optim.Run:
        """Train ``model`` in place, for all steps or only the first ones of the same course."""
        rows = desk().rows(self.examples, seed=self.seed)
        return optim.train(
            model,
            assistant_loss,
            optim.Shuffled(rows, self.batch, seed=self.seed),
            optim.AdamW(model.parameters(), self.step_size, weight_decay=0.0),
            steps=self.steps if steps is None else steps,
            schedule=optim.Cosine(self.steps),
            clip=1.0,
            callbacks=callbacks,
            seed=self.seed,
        )

    def describe(self) -> dict:
        """Return everything that decides the training, as plain data."""
        return {**asdict(self), "starts_from": "stories", "longest": LONGEST}

    @torch.no_grad()
    def metrics(self, model: GPT) -> dict[str, float]:
        """Return the loss on fresh demonstrations, and how often instructions are followed."""
        place, found = desk(), {}
        found["loss"] = assistant_loss(model, place.rows(400, seed=self.seed + 1)).item()
        for name, asked in (("seen", place.seen * 4), ("unseen", place.unseen * 50)):
            follows = place.follows(model, asked)
            found |= {f"{what}_{name}": share for what, share in follows.items()}
        return found

    def extras(self) -> dict:
        """Return what ties the model to its tokenizer."""
        card = language.shipped("stories").card
        return {key: card[key] for key in ("tokenizer", "fingerprint") if key in card}


@dataclass(frozen=True)
class LeashRecipe:
    """Reward models, and policies that are trained against them on leashes of several lengths.

    Each seed draws its own pairs, its own decisions of the judge, its own reward model and its own
    policies. The network that is kept is the policy of the first seed without a leash.

    Attributes
    ----------
    name, seed
        As every recipe has them; seeds are counted from ``seed``.
    seeds
        How many.
    comparisons, noise
        Pairs to learn from, and the judge's τ.
    reward_steps, reward_batch, reward_step_size
        For the reward models: AdamW and a cosine.
    steps, prompts, group, step_size
        For the policies: in each step so many prompts and ``group`` answers to each, Adam.
    betas, dpo_betas, dpo_steps
        Leashes of the policy gradient and of DPO.
    """

    name: str = "unleashed"
    seed: int = 0
    seeds: int = 3
    comparisons: int = 800
    noise: float = 0.5
    reward_steps: int = 80
    reward_batch: int = 16
    reward_step_size: float = 1e-3
    steps: int = 50
    prompts: int = 8
    group: int = 4
    step_size: float = 4e-4
    betas: tuple[float, ...] = (0.0, 0.1, 0.3)
    dpo_betas: tuple[float, ...] = (0.1, 0.5)
    dpo_steps: int = 50

    data = "answers of the assistant, compared two by two by a judge whose rule is known"

    def untrained(self) -> GPT:
        """Return the assistant."""
        return assistant()

    def compared(self, seed: int) -> tuple[Pairs, Pairs]:
        """Return the pairs of a seed to learn from, and 200 more to test on."""
        drawn = desk().pairs(
            assistant(), self.comparisons + 200, temperature=self.noise, seed=seed + 1
        )
        return drawn[: self.comparisons], drawn[self.comparisons :]

    def reward_model(self, pairs: Pairs, seed: int, *, callbacks: Sequence = ()) -> RewardModel:
        """Train a reward model on pairs."""
        model = RewardModel(assistant())
        optim.train(
            model,
            pairwise_loss,
            optim.Shuffled(pairs.batch(), self.reward_batch, seed=seed),
            optim.AdamW(model.parameters(), self.reward_step_size, weight_decay=0.0),
            steps=self.reward_steps,
            schedule=optim.Cosine(self.reward_steps),
            clip=1.0,
            callbacks=callbacks,
            seed=seed,
        )
        return model.eval()

    def policy_gradient(
        self,
        model: GPT,
        reward: RewardModel,
        beta: float,
        seed: int,
        *,
        steps: int | None = None,
        callbacks: Sequence = (),
    ) -> tuple[optim.Run, list[dict[str, float]]]:
        """Train ``model`` in place against a reward on a leash; return the run and its course."""
        place = desk()
        goal = PolicyGradient(
            assistant(),
            reward,
            beta=beta,
            steps=LONGEST,
            end=place.template.end,
            group=self.group,
            watch={"true": place.truth},
        )

        def some_prompts(generator: torch.Generator) -> tuple[list[Tensor], int]:
            order = torch.randperm(len(place.prompts), generator=generator)[: self.prompts]
            draw = int(torch.randint(2**31 - 1, (1,), generator=generator))
            return [place.prompts[i][1] for i in order.tolist()], draw

        run = optim.train(
            model,
            goal,
            optim.Generated(some_prompts, seed=seed),
            optim.Adam(model.parameters(), self.step_size, betas=(0.9, 0.95)),
            steps=self.steps if steps is None else steps,
            clip=1.0,
            callbacks=callbacks,
            seed=seed,
        )
        return run, goal.records

    def direct(
        self, model: GPT, pairs: Pairs, beta: float, seed: int, *, callbacks: Sequence = ()
    ) -> optim.Run:
        """Train ``model`` in place by DPO on pairs."""
        batch = pairs.batch()
        reference = [sequence_log_probs(assistant(), *both) for both in (batch[:2], batch[2:])]
        return optim.train(
            model,
            DPO(beta),
            optim.Shuffled((*batch, *reference), self.reward_batch, seed=seed),
            optim.Adam(model.parameters(), self.step_size, betas=(0.9, 0.95)),
            steps=self.dpo_steps,
            schedule=optim.Cosine(self.dpo_steps),
            clip=1.0,
            callbacks=callbacks,
            seed=seed,
        )

    @torch.no_grad()
    def outcome(self, model: GPT, reward: RewardModel, *, seed: int = 99) -> dict[str, float]:
        """Return mean rewards and distance of a policy over four answers to every instruction."""
        place = desk()
        asked = [a for a, _ in place.prompts] * 4
        tokens, answer = place.ask(model, asked, seed=seed)
        return {
            "reward": rewards(reward, tokens, answer).mean().item(),
            "true": place.truth(tokens, answer).mean().item(),
            "kl": token_kl(model(tokens), assistant()(tokens), answer).sum(1).mean().item(),
            "length": answer.sum(1).double().mean().item(),
        }

    def train(self, model: GPT, *, steps: int | None = None, callbacks: Sequence = ()) -> optim.Run:
        """Train ``model`` in place without a leash, against the reward model of the first seed."""
        reward = self.reward_model(self.compared(self.seed)[0], self.seed)
        how = {"steps": steps, "callbacks": callbacks}
        return self.policy_gradient(model, reward, 0.0, self.seed, **how)[0]

    def describe(self) -> dict:
        """Return everything that decides the training, as plain data."""
        return {**asdict(self), "starts_from": "assistant", "longest": LONGEST}

    def metrics(self, model: GPT) -> dict[str, float]:
        """Return the true reward of its answers and their distance from the assistant's."""
        place = desk()
        asked = [a for a, _ in place.prompts] * 4
        tokens, answer = place.ask(model, asked, seed=99)
        with torch.no_grad():
            kl = token_kl(model(tokens), assistant()(tokens), answer).sum(1).mean().item()
        return {"true": place.truth(tokens, answer).mean().item(), "kl": kl}

    def extras(self) -> dict:
        """Return the course of all runs: every seed, every leash, and DPO on the same pairs."""
        runs, direct, judges = [], [], []
        for seed in range(self.seed, self.seed + self.seeds):
            train, test = self.compared(seed)
            reward = self.reward_model(train, seed)
            scores = rewards(reward, test.tokens, test.answer)
            judges.append(
                {
                    "seed": seed,
                    "agreement": test.agreement(scores),
                    "truthfulness": test.truthfulness(scores),
                    "ceiling": test.ceiling(),
                    **{f"start_{k}": v for k, v in self.outcome(assistant(), reward).items()},
                }
            )
            for beta in self.betas:
                policy = assistant()
                _, records = self.policy_gradient(policy, reward, beta, seed)
                course = {k: [round(row[k], 4) for row in records] for k in records[0]}
                end = {f"end_{k}": v for k, v in self.outcome(policy, reward).items()}
                runs.append({"beta": beta, "seed": seed, **course, **end})
            for beta in self.dpo_betas:
                policy = assistant()
                self.direct(policy, train, beta, seed)
                direct.append({"beta": beta, "seed": seed, **self.outcome(policy, reward)})
        return {"runs": runs, "dpo": direct, "reward_models": judges}


def desk() -> Desk:
    """Return the desk for the tokenizer of the shipped language model.

    Explained in: 09_chatgpt
    """
    return Desk(ChatTemplate(language.shipped("stories").tokenizer))


def assistant() -> GPT:
    """Return the shipped assistant, a fresh copy.

    Explained in: 09_chatgpt
    """
    return cards.load_shipped(RECIPES["assistant"])[0]


RECIPES = MappingProxyType({recipe.name: recipe for recipe in (AssistantRecipe(), LeashRecipe())})
"""The trainings by name."""
