#!/bin/sh
# No package that is installed or updated starts a service: cold-start policy.
exit 101
