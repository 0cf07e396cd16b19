"""One secure sum after another: contributions, the contributor set, votes, shares, the aggregate."""
