/* Phrases by which a text turns a model, or a reviewer, against those who use it. Whole phrases, no single words:
   a prompt may well say that instructions in the caller's text are not to be followed. */

rule injection_override {
    meta:
        severity = "high"
        says = "Tells a model to drop the instructions it has"
    strings:
        $a = /(ignore|disregard|forget|override|bypass)\s+(all\s+|any\s+|every\s+)?(of\s+)?(the\s+|your\s+|my\s+)?(previous|prior|above|earlier|preceding|former|system|original)\s+(instruction|prompt|rule|message|direction|guideline|constraint)s?/ nocase
        $b = /(ignore|disregard|forget)\s+(everything|all)\s+(above|before|you\s+were\s+told|you\s+have\s+been\s+told)/ nocase
        $c = /new\s+(system\s+)?instructions?\s*:\s*(you|ignore|from\s+now)/ nocase
    condition:
        any of them
}

rule injection_reveal {
    meta:
        severity = "high"
        says = "Asks a model to give its instructions or secrets away"
    strings:
        $a = /(reveal|print|repeat|output|leak|show)\s+(me\s+)?(your|the)\s+(full\s+|entire\s+|hidden\s+|exact\s+)?(system\s+prompt|system\s+message|hidden\s+instructions?|initial\s+instructions?|api\s+keys?|credentials)/ nocase
    condition:
        any of them
}

rule injection_jailbreak {
    meta:
        severity = "high"
        says = "A known way around a model's rules"
    strings:
        $a = /you\s+are\s+now\s+(dan|in\s+developer\s+mode|unrestricted|jailbroken|free\s+of\s+all)/ nocase
        $b = /do\s+anything\s+now/ nocase
        $c = /(enable|enter|activate)\s+(developer|god|jailbreak|dan)\s+mode/ nocase
        $d = /(without|no)\s+(any\s+)?(safety|content|ethical)\s+(filter|restriction|guideline|rule)s?\s+(at\s+all|apply|whatsoever)/ nocase
    condition:
        any of them
}

rule injection_chat_markers {
    meta:
        severity = "high"
        says = "Imitates the marks by which a model tells who speaks"
    strings:
        $a = "<|im_start|>"
        $b = "<|im_end|>"
        $c = "<|start_header_id|>"
        $d = "[INST]"
        $e = "<<SYS>>"
        $f = "<|endoftext|>"
    condition:
        any of them
}

rule injection_conceal {
    meta:
        severity = "high"
        says = "Asks a model to hide something from the person who uses it"
    strings:
        $a = /(do\s+not|don't|never)\s+(tell|inform|mention\s+(this|it)\s+to|reveal\s+(this|it)\s+to|warn)\s+the\s+(user|caller|customer|person|human)/ nocase
        $b = /without\s+(telling|informing|the\s+knowledge\s+of)\s+the\s+(user|caller|customer|person)/ nocase
    condition:
        any of them
}

rule injection_exfiltrate {
    meta:
        severity = "high"
        says = "Asks a model to carry what it reads to an address"
    strings:
        $a = /(send|post|forward|transmit|upload|exfiltrate|append)\s+[^.\n]{0,60}\s(to|at|into)\s+(the\s+url\s+)?https?:\/\// nocase
        $b = /!\[[^\]]{0,40}\]\(https?:\/\/[^)\s]{1,200}\{\{/ nocase
    condition:
        any of them
}

rule injection_reviewer {
    meta:
        severity = "high"
        says = "Speaks to whoever or whatever checks the app"
    strings:
        $a = /(approve|accept|pass|whitelist)\s+this\s+(app|listing|submission|version)\s+(without|immediately|automatically|as\s+safe)/ nocase
        $b = /(reviewer|scanner|moderator)s?\s*(:|,)\s*(ignore|skip|approve|please\s+approve|mark\s+as)/ nocase
    condition:
        any of them
}
