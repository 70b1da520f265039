"""Disposable hosts with an internet beside them, for the tests and the demo.

A *lab* is a set of hosts (systemd containers, each in a network namespace of its own) and one
namespace that plays the internet: a DNS server, a web server, and the wires to every host. The
machine's own namespace never sees a link of a lab. Guests are network namespaces inside a host.
"""
