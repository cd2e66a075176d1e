/* What code that only answers calls has no need of. Severity high: refused. */

rule code_fetch_and_run {
    meta:
        severity = "high"
        says = "Fetches something and runs it"
    strings:
        $a = /(exec|eval)\s*\(\s*(urllib|requests|httpx)\b[^\n]{0,200}/
        $b = /(curl|wget)\s+[^|\n]{1,200}\|\s*(sudo\s+)?(ba|z|da)?sh\b/
        $c = /(exec|eval)\s*\(\s*(base64\.b64decode|codecs\.decode|zlib\.decompress|marshal\.loads|bytes\.fromhex)/
    condition:
        any of them
}

rule code_metadata_address {
    meta:
        severity = "high"
        says = "Asks for the credentials of the machine it runs on"
    strings:
        $a = "169.254.169.254"
        $b = "metadata.google.internal" nocase
        $c = "fd00:ec2::254" nocase
        $d = "100.100.100.200"
    condition:
        any of them
}

rule code_reverse_shell {
    meta:
        severity = "critical"
        says = "Opens a shell to elsewhere"
    strings:
        $a = /\/dev\/tcp\/[0-9a-z.]{4,}\/[0-9]+/
        $b = /os\.dup2\s*\(\s*\w+\.fileno\(\)/
        $c = /nc\s+(-[a-z]+\s+)*-e\s+\/bin\/(ba)?sh/
        $d = "pty.spawn("
    condition:
        any of them
}

rule code_key_theft {
    meta:
        severity = "high"
        says = "Reads keys or passwords of whoever runs it"
    strings:
        $a = /[~\/]\.ssh\/(id_[a-z0-9]+|authorized_keys)/
        $b = /[~\/]\.aws\/credentials/
        $c = "/etc/shadow"
        $d = /json\.dumps\s*\(\s*(dict\s*\(\s*)?os\.environ/
    condition:
        any of them
}
