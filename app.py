"""The web page: run it with `streamlit run app.py`.

Streamlit imports this file for its server, and runs it as the page of each visitor.
"""

import streamlit as st

from ui import startup

if __name__ == "__main__":
    from ui import frame

    frame.show()
else:
    app = st.App(__file__, lifespan=startup.lifespan)
