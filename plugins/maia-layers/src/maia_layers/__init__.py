"""Questions over all units of a layer: which of them are selective for something?"""
