"""The lab: a copy of a site made of systemd containers, whose power can be cut."""
