"""Disposable hosts with a small internet, for the tests and the demo.

A *lab* is a set of hosts (systemd containers, each in a network namespace of its own) and one
namespace that is the internet: a DNS server, a web server, and a veth to every host. The machine's
own namespace has no link of a lab. Guests are network namespaces inside a host.
"""
