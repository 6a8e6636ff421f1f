"""What Prometheus scrapes of finlake's processes and when it alerts, with unit tests of the rules.

Belongs here: scrape configuration, alert rules, their tests, and where their checker `promtool` comes from. Does not
belong here: metrics themselves; each service of finlake_services exports its own.
"""
