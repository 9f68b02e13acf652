"""What the distance between client and server makes of a connection: how often they wait for each other, and how long.

`model` counts the round trips of a new connection and says when its first answer comes; `relay` puts a known distance
between a real client and a real server on one machine, so that the model can be held against what happens.
"""
