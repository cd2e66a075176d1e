"""How notices leave the house: mails, digests, and channels of teams and organizations."""
