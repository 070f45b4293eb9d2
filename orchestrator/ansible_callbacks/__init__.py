"""Plugins that ansible-playbook loads from here by path."""
