"""Tell chronyd the time as an operator would from a watch: at the start of a second.

The one argument: how many seconds this host's own clock is ahead of the right time.
"""

import subprocess
import sys
import time

right = time.time() - float(sys.argv[1])
second = int(right) + 1
time.sleep(second - right)
told = time.strftime("%b %d, %Y %H:%M:%S", time.gmtime(second))
subprocess.run(["chronyc", "settime", told], check=True, env={"TZ": "UTC", "PATH": "/usr/bin:/bin"})
