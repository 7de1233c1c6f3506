"""Sums that a minority of clients cannot steer; where updates are seen, and not under masks.

kept        a round's updates, read in blocks of columns so that no copy of all is made
columns     median, trimmed mean: each coordinate by itself
krum        Krum, Multi-Krum, Bulyan: by distances between updates
clipping    centred clipping, norm bound: nobody pulls further than a length
choice      which rule a run has, and what it needs; refused where it would break a guarantee
round_sum   a round's sum by such a rule
quarantine  who was rejected how often, and is asked no more
"""
