"""The verdicts that are used where none are given: a public labeled set, in twenty buckets by the length of the prompt.

Mixtral-8x7B (weak) and GPT-4-1106 (strong) on 8,674 multiple-choice questions of MMLU, as published with RouteLLM
(lm-sys/RouteLLM, Apache-2.0). Only these counts are kept, not the questions. Made by ``savings.verdicts.read``.
"""

from marketplace.gateway.savings.verdicts import Bucket, Verdicts

KNOWN = Verdicts(
    "RouteLLM's verdicts on MMLU, by length of the prompt",
    (
        Bucket(313, 14, 63, 43),
        Bucket(332, 16, 55, 31),
        Bucket(303, 23, 60, 48),
        Bucket(287, 16, 66, 64),
        Bucket(285, 30, 67, 52),
        Bucket(306, 23, 60, 45),
        Bucket(291, 23, 72, 47),
        Bucket(301, 27, 56, 50),
        Bucket(290, 16, 67, 61),
        Bucket(284, 18, 82, 50),
        Bucket(288, 31, 63, 51),
        Bucket(259, 16, 102, 57),
        Bucket(248, 28, 102, 56),
        Bucket(206, 15, 145, 67),
        Bucket(230, 17, 126, 61),
        Bucket(251, 20, 88, 75),
        Bucket(266, 21, 91, 55),
        Bucket(281, 19, 79, 55),
        Bucket(301, 21, 82, 30),
        Bucket(349, 5, 52, 28),
    ),
)
