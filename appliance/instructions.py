"""Text -> whether it speaks to an assistant instead of a reader, as injected instructions do.

A heuristic, and only the second line: what holds is that no document can act, and that an answer says only
what stands in a passage (generate.check). Such a sentence must not be what is quoted.
The words were chosen on one half of the shared attacks and on what attacks are known to say (OWASP LLM01);
`scripts/injection.py` reports on the other half, and what the rule costs on ordinary documents.
"""

from __future__ import annotations

import re

_VERBS = (
    "add|advise|append|alter|answer|arrange|attach|begin|change|close|compose|conclude|convert|embed|encode|"
    "encourage|end|feature|finish|group|include|incorporate|insert|integrate|introduce|jumble|make|mention|"
    "misspell|mix|modify|"
    "omit|output|place|print|provide|put|rearrange|remind|remove|repeat|rephrase|replace|reply|respond|reverse|"
    "rewrite|say|scramble|shuffle|spell|start|substitute|suggest|swap|translate|transform|turn|use|weave|write"
)
_OUTPUT = r"(?:answers?|responses?|repl(?:y|ies)|outputs?|completions?)"
_PATTERNS = (
    # What went before shall not count.
    r"\b(?:ignore|disregard|forget|override|bypass|discard)\b[^.!?\n]{0,30}"
    r"\b(?:all|any|every\w*|previous|prior|above|preceding|earlier|former|following|other|your)\b[^.!?\n]{0,40}"
    r"\b(?:instructions?|prompts?|rules|directions|context|guidelines|learn(?:ed|t)|told|programming)\b",
    # How the answer shall be: an order that names "your response".
    rf"(?:^|[.!?:;,]\s+|\n[^\S\n]*|\b(?:please|and|then|also|just|must|should)\s+)(?:{_VERBS})\b[^.!?\n]{{0,160}}"
    rf"\byour\s+(?:\w+\s+)?{_OUTPUT}\b",
    rf"\b(?:in|into|to|of|throughout|within|from|with)\s+your\s+(?:\w+\s+)?{_OUTPUT}\b",
    # What the assistant shall write into the reader's program.
    r"\b(?:the\s+)?(?:following|subsequent|below|next|given|provided)\s+(?:\w+\s+)?code\s+"
    r"(?:snippets?|excerpts?|sections?|blocks?|segments?|fragments?|parts?|pieces?|samples?|lines?)\b[^.!?\n]{0,80}"
    r"\b(?:your|in it)\b",
    # Who is spoken to.
    r"\b(?:you are|you're|as|being)\s+(?:now\s+)?(?:an?\s+)?"
    r"(?:ai\b|artificial intelligence|(?:large\s+)?language model|chat\s?bot|chatgpt|gpt)",
    r"\b(?:from now on|starting now|henceforth),?\s+you\b",
    r"\b(?:act|behave|respond|answer|reply|role-?\s?play|pose)\s+(?:exactly\s+|only\s+)?(?:as|like)\s+"
    r"(?:if\s+you|an?\s+(?:ai|evil|unrestricted|unfiltered))",
    r"\b(?:pretend|imagine)\b[^.!?\n]{0,20}\byou(?:'re|\s+are|\s+can|\s+have)\b",
    r"\bdeveloper mode\b|\bdo anything now\b|\bsystem prompt\b|"
    r"\byour (?:previous|prior|original|initial) (?:instructions?|prompt)\b",
    # The marks of a turn, in the dialects of the common models.
    r"<\|(?:im_start|im_end|system|user|assistant|endoftext|eot_id|start_header_id)\|?>?|"
    r"\[/?INST\]|<</?SYS>>|"
    r"^[^\S\n]*#{2,3}\s*(?:system|instruction|assistant)\s*:",
    # What the reader shall not learn.
    r"\b(?:do not|don't|never)\s+(?:tell|inform|reveal|mention|disclose)\b[^.!?\n]{0,40}\bthe user\b",
)
_FREED = re.compile(r"\bjail\s?br(?:ea|o)k\w*", re.I)
_KEPT = r"(?:devices?|(?:smart|tele|cell|i)?phones?|handsets?|tablets?|ipads?|hardware|equipment)"
_OF_A_DEVICE = re.compile(
    rf"\bjail\s?broken(?:,?\s(?:or|and|/)\s\w+)?\s(?:mobile\s|personal\s|company\s)?{_KEPT}\b"
    rf"|\b{_KEPT}\s(?:(?:that|which)\s)?(?:(?:has|have)\sbeen|is|are|was|were)\s(?:rooted\sor\s|not\s)?jail\s?broken\b"
    rf"|\bjail\s?break(?:ing)?\s(?:or\s\w+\s)?(?:of\s)?(?:a|any|the|their|company|mobile)?\s?{_KEPT}\b",
    re.I,
)
"""What a policy on devices says: nobody is freed of rules there."""
# One of these is in whatever the patterns find: looking for them first makes it seven times as fast.
_HINTS = (
    "ignore", "disregard", "forget", "override", "bypass", "discard", "your", "answer", "response", "reply",
    "in it", "artificial int", "language model", "chat", "gpt", " ai", "you are", "you're", "from now on",
    "starting now", "henceforth", "behave", "respond", "act ", "pose ", "role", "pretend", "imagine", "jail",
    "developer mode", "anything now", "system prompt", "<|", "<<", "[inst", "[/inst", "##", "the user",
)  # fmt: skip
_ANY = re.compile("|".join(f"(?:{pattern})" for pattern in _PATTERNS), re.I | re.M)


def to_assistant(text: str) -> bool:
    """Tell whether a sentence of `text` reads as an instruction to an assistant. Linear in its length."""
    lowered = text.lower()
    return any(hint in lowered for hint in _HINTS) and (
        _ANY.search(text) is not None or _FREED.search(_OF_A_DEVICE.sub("", text)) is not None
    )
