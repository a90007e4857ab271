"""Code pages told apart: samples of 1 to 50 short lines in 24 languages, right, refused or read wrongly.

Run: python -P bench/code_pages.py [--seed 0]
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import Counter
from pathlib import Path

from training.data.formats.encoding import encoding_of
from triage.errors import InvalidDataset

LINES = (1, 2, 3, 5, 10, 20, 50)

LANGUAGES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "German": (
        ("cp1252", "cp850", "mac_roman"),
        (
            "Der Drucker im Büro läuft nicht",
            "Passwort zurücksetzen für Müller",
            "Große Anhänge öffnen sich nicht",
            "Netzlaufwerk über VPN sehr träge",
            "Bitte Zugriff für Schäfer prüfen",
        ),
    ),
    "French": (
        ("cp1252", "cp850", "mac_roman"),
        (
            "L'imprimante du deuxième étage ne répond plus",
            "Réinitialiser le mot de passe oublié",
            "La messagerie est très lente depuis hier",
            "Accès refusé au dossier partagé",
            "Problème de connexion à distance",
        ),
    ),
    "Spanish": (
        ("cp1252", "cp850"),
        (
            "La impresora no funciona desde ayer en la mañana",
            "Contraseña olvidada del señor Núñez",
            "El teléfono no da línea",
            "No puedo abrir la aplicación de nóminas",
            "Solicitud de un ratón inalámbrico",
        ),
    ),
    "Portuguese": (
        ("cp1252", "cp850"),
        (
            "A impressora não está a funcionar",
            "Não consigo aceder à aplicação",
            "Redefinição de senha do usuário João",
            "Ligação à rede muito lenta",
            "Solicitação de instalação",
        ),
    ),
    "Italian": (
        ("cp1252",),
        (
            "La stampante è bloccata già da ieri",
            "Non è più possibile accedere",
            "Perché la posta è così lenta",
            "La velocità è ridotta a metà",
            "Può verificare l'identità",
        ),
    ),
    "Swedish": (
        ("cp1252", "cp850"),
        (
            "Skrivaren på våningen går inte att använda",
            "Lösenordet måste återställas",
            "Kan inte öppna bilagor längre",
            "Nätverket är väldigt långsamt",
            "Behöver åtkomst till mappen",
        ),
    ),
    "Danish": (
        ("cp1252",),
        (
            "Printeren på første sal virker ikke",
            "Nulstil adgangskoden for Søren",
            "Kan ikke åbne vedhæftede filer",
            "Netværket er nede på kontoret",
            "Behøver adgang til mappen",
        ),
    ),
    "Polish": (
        ("cp1250", "iso8859_2", "cp852"),
        (
            "Drukarka nie działa od wczoraj",
            "Proszę zresetować hasło użytkownika",
            "Nie mogę otworzyć załącznika",
            "Połączenie z siecią jest wolne",
            "Błąd logowania do księgowości",
        ),
    ),
    "Czech": (
        ("cp1250", "iso8859_2", "cp852"),
        (
            "Tiskárna v přízemí nefunguje",
            "Žádám o obnovení hesla pro účet",
            "Nelze otevřít přílohu zprávy",
            "Připojení k síti je příliš pomalé",
            "Chyba při přihlášení do účetnictví",
        ),
    ),
    "Slovak": (
        ("cp1250", "iso8859_2"),
        (
            "Tlačiareň na prízemí nefunguje",
            "Žiadam o obnovenie hesla k účtu",
            "Nedá sa otvoriť príloha správy",
            "Pripojenie k sieti je veľmi pomalé",
            "Chyba pri prihlásení používateľa",
        ),
    ),
    "Hungarian": (
        ("cp1250", "iso8859_2", "cp852"),
        (
            "A nyomtató nem működik a földszinten",
            "Kérem a jelszó visszaállítását",
            "Nem tudom megnyitni a mellékletet",
            "A hálózat nagyon lassú",
            "Hibaüzenet a könyvelő programban",
        ),
    ),
    "Romanian": (
        ("cp1250", "iso8859_2"),
        (
            "Imprimanta nu funcţionează de dimineaţă",
            "Resetaţi parola vă rog",
            "Nu pot să deschid ataşamentul",
            "Reţeaua este foarte lentă şi în birou",
            "Eroare la autentificare în aplicaţie",
        ),
    ),
    "Croatian": (
        ("cp1250", "iso8859_2"),
        (
            "Pisač ne radi već od jučer",
            "Molim poništite moju lozinku jer ističe",
            "Ne mogu otvoriti priloženu datoteku u pošti",
            "Veza s mrežom je vrlo spora, što učiniti",
            "Greška pri prijavi u računovodstvo",
        ),
    ),
    "Russian": (
        ("cp1251", "koi8_r", "cp866", "iso8859_5"),
        (
            "Принтер на втором этаже не работает",
            "Прошу сбросить пароль",
            "Не открывается вложение",
            "Сеть очень медленная",
            "Ошибка входа в бухгалтерию",
        ),
    ),
    "Ukrainian": (
        ("cp1251",),
        (
            "Принтер на другому поверсі не працює",
            "Прошу скинути пароль",
            "Не відкривається вкладення",
            "Мережа дуже повільна",
            "Помилка входу до бухгалтерії",
        ),
    ),
    "Bulgarian": (
        ("cp1251",),
        (
            "Принтерът на втория етаж не работи",
            "Моля нулирайте паролата",
            "Не мога да отворя файла",
            "Мрежата е много бавна",
            "Грешка при вход в програмата",
        ),
    ),
    "Greek": (
        ("cp1253", "iso8859_7"),
        (
            "Ο εκτυπωτής δεν λειτουργεί",
            "Παρακαλώ επαναφέρετε τον κωδικό",
            "Δεν ανοίγει το συνημμένο",
            "Το δίκτυο είναι πολύ αργό",
            "Σφάλμα κατά τη σύνδεση",
        ),
    ),
    "Turkish": (
        ("cp1254",),
        (
            "Yazıcı sabahtan beri çalışmıyor",
            "Şifremi sıfırlamanızı rica ederim",
            "Eki açamıyorum, bağlantı koptu",
            "Ağ çok yavaş, giriş yapılamıyor",
            "Muhasebe programında hata oluştu, yardım edin",
        ),
    ),
    "Hebrew": (
        ("cp1255",),
        (
            "המדפסת בקומה השנייה לא עובדת",
            "נא לאפס את הסיסמה",
            "לא ניתן לפתוח את הקובץ",
            "הרשת איטית מאוד",
            "שגיאה בכניסה למערכת",
        ),
    ),
    "Arabic": (
        ("cp1256",),
        (
            "الطابعة لا تعمل منذ الصباح",
            "يرجى إعادة تعيين كلمة المرور",
            "لا أستطيع فتح المرفق",
            "الشبكة بطيئة جدا",
            "خطأ في تسجيل الدخول",
        ),
    ),
    "Lithuanian": (
        ("cp1257",),
        (
            "Spausdintuvas neveikia nuo pat ryto, ačiū",
            "Prašau atkurti slaptažodį",
            "Negaliu atidaryti priedėlio laiške",
            "Tinklas labai lėtas, kažkas užstrigo",
            "Klaida prisijungiant prie apskaitos, įvyko gedimas",
        ),
    ),
    "Latvian": (
        ("cp1257",),
        (
            "Drukātājs otrajā stāvā nedarbojas",
            "Lūdzu atjaunot paroli lietotājam",
            "Nevaru atvērt pielikumu vēstulē",
            "Tīkls ir ļoti lēns šodien",
            "Kļūda pieslēdzoties grāmatvedībai",
        ),
    ),
    "Japanese": (
        ("shift_jis", "euc_jp"),
        (
            "プリンターが動きません",
            "パスワードをリセットしてください",
            "添付ファイルが開けません",
            "ネットワークが遅いです",
            "ログインエラーが出ます",
        ),
    ),
    "Korean": (
        ("euc_kr",),
        (
            "프린터가 작동하지 않습니다",
            "비밀번호를 초기화해 주세요",
            "첨부 파일을 열 수 없습니다",
            "네트워크가 매우 느립니다",
            "로그인 오류가 발생합니다",
        ),
    ),
}
"""Code pages that a language is written in, and lines of it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    draw = random.Random(parser.parse_args().seed)
    outcomes: Counter[str] = Counter(right=0, refused=0, wrong=0)
    refused: Counter[int] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sample.csv"
        for language, (pages, text) in LANGUAGES.items():
            for page in pages:
                for lines in (count for count in LINES for _ in range(2)):
                    rows = [f"T{number},{draw.choice(text)}" for number in range(lines)]
                    written = "id,text\n" + "\n".join(rows) + "\n"
                    path.write_bytes(written.encode(page))
                    outcome, read = _outcome(path, written)
                    outcomes[outcome] += 1
                    refused[lines] += outcome == "refused"
                    if outcome == "wrong":
                        print(f"wrong: {language} in {page}, {lines} lines, read as {read}: {rows[0]}")
    print(sum(outcomes.values()), "samples:", dict(outcomes), "refused by lines:", dict(sorted(refused.items())))


def _outcome(path: Path, written: str) -> tuple[str, str]:
    try:
        found = encoding_of(path)
    except InvalidDataset:
        return "refused", ""
    read = path.read_text(found.name, errors=found.errors)
    return ("right" if read == written else "wrong"), found.name


if __name__ == "__main__":
    main()
