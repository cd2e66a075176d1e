"""The demo world: one company, its apps, and three months of usage, made anew from a seed and a day.

``world.load`` builds everything in one transaction, so a load that is killed leaves an empty database and the next
start loads again. Each module tells one part of the story: the data on top, what writes it below.
"""
