"""The metadata document (``$metadata``) and the service document.

- ``csdl_xml``: write the entity model as CSDL XML, and the service document. Start reading here.
- ``csdl_json``: write the same document as CSDL JSON.
- ``annotations``: vocabulary annotations for both formats: descriptions and capabilities.
"""
