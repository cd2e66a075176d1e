"""What is due of an invoice, as SQL for triggers: the same sums that `billing.dues` reads.

Each is an expression about ``NEW.invoice_id``, whose row the trigger has locked.
"""

PAID_BACK = """(
    SELECT coalesce(sum(amount_minor), 0) FROM billing_paymentreversal WHERE payment_id = NEW.payment_id
)"""
_PAID = """(
    SELECT coalesce(sum(amount_minor), 0) FROM billing_receivedpayment
    WHERE invoice_id = NEW.invoice_id AND is_recovery = {recovery}
) - (
    SELECT coalesce(sum(back.amount_minor), 0) FROM billing_paymentreversal back
    JOIN billing_receivedpayment paid ON paid.id = back.payment_id
    WHERE back.invoice_id = NEW.invoice_id AND paid.is_recovery = {recovery}
)"""
_CREDITED = """(
    SELECT coalesce(sum(total_minor), 0) FROM billing_creditnote
    WHERE invoice_id = NEW.invoice_id AND state = 'issued'
)"""
_WRITTEN_OFF = """(
    SELECT coalesce(sum(amount_minor), 0) FROM billing_writeoff
    WHERE invoice_id = NEW.invoice_id AND state = 'posted'{kind}
)"""
_MOVED = """(
    SELECT coalesce(sum(amount_minor), 0) FROM billing_balanceentry
    WHERE invoice_id = NEW.invoice_id AND kind = 'surplus'
)"""
DUE = f"""(
    (SELECT total_minor FROM billing_invoice WHERE id = NEW.invoice_id)
    - {_CREDITED} - ({_PAID.format(recovery="false")}) - {_WRITTEN_OFF.format(kind="")} + {_MOVED}
)"""  # noqa: S608  the names are ours
RECOVERABLE = f"""(
    {_WRITTEN_OFF.format(kind=" AND kind = 'bad_debt'")} - ({_PAID.format(recovery="true")})
)"""
