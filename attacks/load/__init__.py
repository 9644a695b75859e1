"""A load on somebody's service: its plan, its requests, its pace, and the thresholds it must keep.

Everything here is free of Locust but `driving` and `thresholds.plugin`: importing Locust patches
the sockets and threads of the whole process, so only a locustfile imports these two.
"""
