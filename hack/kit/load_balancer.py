#!/usr/bin/env python3
"""Stands in for a cloud's load balancer.

Gives every Service of type LoadBalancer an address of the cluster's
load-balancer network, the same one as long as the Service (its UID) lives.
kube-proxy does the rest. STATE/load-balancer.json steers it, written by
`hack/cluster lb`:

    {"all": {"mode": "allow"}, "services": {"ns/name": {"mode": "set", "ip": "10.99.1.77"}}}

allow     give an address (the default)
withhold  give none; one that was given stays
drop      take the address away
set       give this address
"""

import argparse
import json
import os
import ssl
import time
import urllib.request

MERGE_PATCH = "application/merge-patch+json"


class Api:
    """The two calls that are needed, with the stand-in's own certificate."""

    def __init__(self, server, pki):
        self.server = server
        context = ssl.create_default_context(cafile=f"{pki}/ca.crt")
        context.load_cert_chain(f"{pki}/load-balancer.crt", f"{pki}/load-balancer.key")
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

    def call(self, method, path, body=None):
        request = urllib.request.Request(self.server + path, method=method)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", MERGE_PATCH)
        with self.opener.open(request, timeout=10) as answer:
            return json.load(answer)

    def services(self):
        return self.call("GET", "/api/v1/services?resourceVersion=0")["items"]

    def set_address(self, service, address):
        meta = service["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/services/{meta['name']}/status"
        ingress = [{"ip": address}] if address else None
        self.call("PATCH", path, {"status": {"loadBalancer": {"ingress": ingress}}})


class Addresses:
    """Which Service has which address; kept in a file so that a restart changes nothing."""

    def __init__(self, file, prefix):
        self.file = file
        self.prefix = prefix
        self.given = load_json(file)

    def keep_only(self, uids):
        gone = set(self.given) - set(uids)
        if gone:
            for uid in gone:
                del self.given[uid]
            store_json(self.file, self.given)

    def of(self, uid):
        if uid not in self.given:
            taken = set(self.given.values())
            free = (f"{self.prefix}.{n}" for n in range(10, 250))
            self.given[uid] = next(a for a in free if a not in taken)
            store_json(self.file, self.given)
        return self.given[uid]


def load_json(file):
    try:
        with open(file, encoding="utf-8") as stream:
            return json.load(stream)
    except FileNotFoundError:
        return {}


def store_json(file, value):
    with open(file + ".new", "w", encoding="utf-8") as stream:
        json.dump(value, stream, indent=1)
    os.replace(file + ".new", file)


def current_address(service):
    ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress") or [{}]
    return ingress[0].get("ip")


def wanted_address(service, control, addresses):
    """The address a Service should have now; its present one means: leave it."""
    meta, spec = service["metadata"], service["spec"]
    present = current_address(service)
    if spec.get("type") != "LoadBalancer":
        return None
    if spec.get("loadBalancerClass"):  # belongs to another implementation
        return present
    key = f"{meta['namespace']}/{meta['name']}"
    order = control.get("services", {}).get(key) or control.get("all") or {}
    mode = order.get("mode", "allow")
    if mode == "withhold":
        return present
    if mode == "drop":
        return None
    if mode == "set":
        return order["ip"]
    return addresses.of(meta["uid"])


def serve(api, addresses, control_file):
    services = api.services()
    addresses.keep_only(s["metadata"]["uid"] for s in services)
    control = load_json(control_file)
    for service in services:
        wanted = wanted_address(service, control, addresses)
        if wanted != current_address(service):
            api.set_address(service, wanted)
            meta = service["metadata"]
            print(f"{meta['namespace']}/{meta['name']}: {wanted or 'no address'}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--state", required=True, help="state folder of the cluster")
    parser.add_argument("--server", required=True, help="URL of the API server")
    parser.add_argument("--prefix", required=True, help="first three bytes of the load-balancer network")
    args = parser.parse_args()
    api = Api(args.server, f"{args.state}/pki")
    addresses = Addresses(f"{args.state}/load-balancer-addresses.json", args.prefix)
    while True:
        try:
            serve(api, addresses, f"{args.state}/load-balancer.json")
        except Exception as error:  # the API server may be away; a Service may just have gone
            print(f"{type(error).__name__}: {error}", flush=True)
        time.sleep(0.5)


if __name__ == "__main__":
    main()
