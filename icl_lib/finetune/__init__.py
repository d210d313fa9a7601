"""What is done to a model after pre-training: supervised fine-tuning and alignment.

Functions take a :class:`icl_lib.models.gpt.GPT` and tensors of tokens, never strings.

:mod:`labels` scores and trains on "text → label words", :mod:`methods` names which weights may
change, :mod:`lora` is the low-rank product beside a frozen matrix, :mod:`supervised` trains, with
remedies against forgetting, and :mod:`forgetting` measures what is lost on old text.

:mod:`chat` turns a conversation into tokens, :mod:`preferences` and :mod:`reward` learn what a
judge likes, :mod:`policy` trains for it on a leash, and :mod:`dpo` learns from the judge's pairs
directly.
"""

from icl_lib.finetune.chat import ChatTemplate, Turn, answer_log_probs, assistant_loss, collate
from icl_lib.finetune.dpo import DPO, dpo_loss, implicit_reward, sequence_log_probs
from icl_lib.finetune.forgetting import (
    Outcome,
    bits_per_byte,
    cost_at_gain,
    held_out_loss,
    kl_divergence,
    outcome,
    perplexity,
    text_loss,
)
from icl_lib.finetune.labels import (
    LabelTask,
    accuracy,
    label_loss,
    label_scores,
    majority_accuracy,
    predict,
)
from icl_lib.finetune.lora import LoRALinear, add_lora, fold, lora_layers
from icl_lib.finetune.methods import (
    METHODS,
    count_trainable,
    prepare,
    relative_change,
    weight_updates,
)
from icl_lib.finetune.policy import (
    PolicyGradient,
    leashed_objective,
    leashed_optimum,
    leave_one_out,
    policy_gradient_loss,
    returns_to_go,
    sample_answers,
    token_kl,
)
from icl_lib.finetune.preferences import (
    agreement,
    bradley_terry,
    bradley_terry_loss,
    fit_bradley_terry,
    judge,
    noise_ceiling,
)
from icl_lib.finetune.reward import RewardModel, pairwise_loss, rewards
from icl_lib.finetune.supervised import FineTuned, Recipe, finetune

__all__ = [
    "DPO",
    "METHODS",
    "ChatTemplate",
    "FineTuned",
    "LabelTask",
    "LoRALinear",
    "Outcome",
    "PolicyGradient",
    "Recipe",
    "RewardModel",
    "Turn",
    "accuracy",
    "add_lora",
    "agreement",
    "answer_log_probs",
    "assistant_loss",
    "bits_per_byte",
    "bradley_terry",
    "bradley_terry_loss",
    "collate",
    "cost_at_gain",
    "count_trainable",
    "dpo_loss",
    "finetune",
    "fit_bradley_terry",
    "fold",
    "held_out_loss",
    "implicit_reward",
    "judge",
    "kl_divergence",
    "label_loss",
    "label_scores",
    "leashed_objective",
    "leashed_optimum",
    "leave_one_out",
    "lora_layers",
    "majority_accuracy",
    "noise_ceiling",
    "outcome",
    "pairwise_loss",
    "perplexity",
    "policy_gradient_loss",
    "predict",
    "prepare",
    "relative_change",
    "returns_to_go",
    "rewards",
    "sample_answers",
    "sequence_log_probs",
    "text_loss",
    "token_kl",
    "weight_updates",
]
