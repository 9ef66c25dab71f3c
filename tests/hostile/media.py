MEDIA = ()
def run_media(case, folder): return 0
